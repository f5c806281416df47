//! The first half of a page of history: which events to look at. Each question has the index that answers it, and stands
//! as a statement of its own because a status given as a parameter would not match a partial index.

use trunkline_domain::{EventId, Lane, TenantId};
use uuid::Uuid;

use crate::{Connection, StoreError};

/// Which ids a page may show: `from <= id < before`. It prunes partitions.
#[derive(Debug, Clone, Copy)]
pub struct IdRange {
    /// The lowest id.
    pub from: Uuid,
    /// The first id that is too new: the page's cursor.
    pub before: Uuid,
}

impl IdRange {
    /// Every id there can be.
    pub const ALL: Self = Self { from: Uuid::nil(), before: Uuid::max() };
}

/// The newest `limit` events in the range.
///
/// # Errors
/// When the database is not available.
pub async fn with_any_status(
    connection: &mut Connection,
    lane: Lane,
    tenant_id: &TenantId,
    range: IdRange,
    limit: i64,
) -> Result<Vec<EventId>, StoreError> {
    let ids = sqlx::query_scalar!(
        r#"
        SELECT event_id
        FROM trunkline.events
        WHERE lane = $1 AND tenant_id = $2 AND event_id >= $3 AND event_id < $4
        ORDER BY event_id DESC
        LIMIT $5
        "#,
        lane.number(),
        tenant_id.as_str(),
        range.from,
        range.before,
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(ids.into_iter().map(EventId::from).collect())
}

/// The newest `limit` events in the range of which at least one delivery was not attempted yet.
///
/// # Errors
/// When the database is not available.
pub async fn with_status_pending(
    connection: &mut Connection,
    lane: Lane,
    tenant_id: &TenantId,
    range: IdRange,
    limit: i64,
) -> Result<Vec<EventId>, StoreError> {
    let ids = sqlx::query_scalar!(
        r#"
        SELECT DISTINCT event_id
        FROM trunkline.deliveries
        WHERE lane = $1 AND tenant_id = $2 AND event_id >= $3 AND event_id < $4 AND status = 'PENDING'
        ORDER BY event_id DESC
        LIMIT $5
        "#,
        lane.number(),
        tenant_id.as_str(),
        range.from,
        range.before,
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(ids.into_iter().map(EventId::from).collect())
}

/// The newest `limit` events in the range of which at least one delivery failed.
///
/// # Errors
/// When the database is not available.
pub async fn with_status_failed(
    connection: &mut Connection,
    lane: Lane,
    tenant_id: &TenantId,
    range: IdRange,
    limit: i64,
) -> Result<Vec<EventId>, StoreError> {
    let ids = sqlx::query_scalar!(
        r#"
        SELECT DISTINCT event_id
        FROM trunkline.deliveries
        WHERE lane = $1 AND tenant_id = $2 AND event_id >= $3 AND event_id < $4 AND status = 'FAILED'
        ORDER BY event_id DESC
        LIMIT $5
        "#,
        lane.number(),
        tenant_id.as_str(),
        range.from,
        range.before,
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(ids.into_iter().map(EventId::from).collect())
}
