use chrono::{DateTime, Utc};
use trunkline_domain::{EventId, Lane, TenantId};

use crate::events::ordering::{self, Line};
use crate::wake::Hint;
use crate::{Connection, StoreError};

/// Like [`cancel`], and lets those go that waited behind the event by its ordering key, in the same transaction. Returns how many
/// deliveries were cancelled, and whom to tell.
///
/// # Errors
/// When the database is not available, or somebody publishes with the key for longer than `lock_timeout`.
pub async fn cancel_in_order(
    connection: &mut Connection,
    lane: Lane,
    tenant_id: &TenantId,
    event_id: EventId,
    now: DateTime<Utc>,
) -> Result<(u64, Vec<Hint>), StoreError> {
    let lines = ordering::lines_of_event(connection, lane, tenant_id, event_id).await?;
    if lines.is_empty() {
        return Ok((cancel(connection, lane, tenant_id, event_id, now).await?, Vec::new()));
    }
    let mut transaction = connection.begin().await?;
    ordering::lock(&mut transaction, &Line::names(&lines)).await?;
    let cancelled = cancel(&mut transaction, lane, tenant_id, event_id, now).await?;
    let released = ordering::release(&mut transaction, &lines, now).await?;
    transaction.commit().await?;
    Ok((cancelled, released))
}

/// Cancels every delivery of an event that would still be attempted, and returns how many. Dead letters stay as they
/// are. An attempt under way loses its lease and ends as `superseded`: the endpoint may have seen it.
///
/// # Errors
/// When the database is not available.
pub async fn cancel(
    connection: &mut Connection,
    lane: Lane,
    tenant_id: &TenantId,
    event_id: EventId,
    now: DateTime<Utc>,
) -> Result<u64, StoreError> {
    let cancelled = sqlx::query_scalar!(
        r#"
        WITH open AS (
            SELECT endpoint_id, attempts, lease, leased_until
            FROM trunkline.deliveries
            WHERE lane = $1 AND tenant_id = $2 AND event_id = $3 AND (due_at IS NOT NULL OR held)
            ORDER BY endpoint_id
            FOR UPDATE
        ), cancelled AS (
            UPDATE trunkline.deliveries AS d
            SET status = 'CANCELLED', due_at = NULL, held = false, expedited = false,
                lease = NULL, leased_until = NULL, finished_at = $4,
                last_attempt_at = CASE WHEN o.lease IS NULL THEN d.last_attempt_at ELSE least($4, o.leased_until) END
            FROM open AS o
            WHERE d.lane = $1 AND d.tenant_id = $2 AND d.event_id = $3 AND d.endpoint_id = o.endpoint_id
            RETURNING d.endpoint_id, o.attempts, o.lease, o.leased_until
        ), superseded AS (
            INSERT INTO trunkline.attempts (lane, tenant_id, event_id, endpoint_id, attempt, started_at, outcome, error)
            SELECT $1, $2, $3, endpoint_id, attempts, least($4, leased_until), 'superseded', 'cancelled while it was under way'
            FROM cancelled
            WHERE lease IS NOT NULL
            RETURNING lane
        )
        SELECT count(*) AS "cancelled!" FROM cancelled
        "#,
        lane.number(),
        tenant_id.as_str(),
        event_id.as_uuid(),
        now,
    )
    .fetch_one(connection)
    .await?;
    Ok(u64::try_from(cancelled).unwrap_or(0))
}
