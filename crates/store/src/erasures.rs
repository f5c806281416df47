//! Erasing payloads by request: the content goes, its hash and a receipt stay.

use chrono::{DateTime, Utc};
use trunkline_domain::{ErasureId, EventId, Lane, TenantId};
use uuid::Uuid;

use crate::events::ordering::{self, Line};
use crate::wake::Hint;
use crate::{Connection, StoreError, deliveries};

/// Proof that a payload was erased.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// The request that erased it.
    pub erasure_id: ErasureId,
    /// Whose payload it was.
    pub event_id: EventId,
    /// What was erased, by its hash.
    pub payload_sha256: Vec<u8>,
    /// When it was erased.
    pub erased_at: DateTime<Utc>,
}

/// Erases the payloads of these events, and what endpoints answered to them, in one transaction, after it cancelled what of them would still be attempted. An
/// attempt under way may send its copy all the same. Events that have a receipt keep it. Returns how many receipts are new, and
/// whom to tell: what waited behind a cancelled delivery by its ordering key goes on.
///
/// # Errors
/// When the database is not available, or somebody publishes with one of the keys for longer than `lock_timeout`.
pub async fn erase(
    connection: &mut Connection,
    lane: Lane,
    tenant_id: &TenantId,
    events: &[EventId],
    erasure_id: ErasureId,
    now: DateTime<Utc>,
) -> Result<(u64, Vec<Hint>), StoreError> {
    let ids: Vec<Uuid> = events.iter().map(|id| id.as_uuid()).collect();
    let mut transaction = connection.begin().await?;
    let open = with_open_deliveries(&mut transaction, lane, tenant_id, &ids).await?;
    let mut lines = Vec::new();
    for event_id in &open {
        lines.extend(ordering::lines_of_event(&mut transaction, lane, tenant_id, *event_id).await?);
    }
    lines.sort();
    lines.dedup();
    if !lines.is_empty() {
        ordering::lock(&mut transaction, &Line::names(&lines)).await?;
    }
    for event_id in open {
        deliveries::cancel(&mut transaction, lane, tenant_id, event_id, now).await?;
    }
    let released =
        if lines.is_empty() { Vec::new() } else { ordering::release(&mut transaction, &lines, now).await? };
    remove_content(&mut transaction, lane, tenant_id, &ids).await?;
    remove_answers(&mut transaction, lane, tenant_id, &ids).await?;
    let written = write_receipts(&mut transaction, lane, tenant_id, &ids, erasure_id, now).await?;
    transaction.commit().await?;
    Ok((written, released))
}

async fn with_open_deliveries(
    connection: &mut Connection,
    lane: Lane,
    tenant_id: &TenantId,
    ids: &[Uuid],
) -> Result<Vec<EventId>, StoreError> {
    let open = sqlx::query_scalar!(
        r#"
        SELECT DISTINCT d.event_id
        FROM unnest($3::uuid[]) AS wanted (event_id)
        CROSS JOIN LATERAL (
            SELECT event_id
            FROM trunkline.deliveries
            WHERE lane = $1 AND tenant_id = $2 AND event_id = wanted.event_id AND (due_at IS NOT NULL OR held)
            LIMIT 1
        ) AS d
        ORDER BY d.event_id
        "#,
        lane.number(),
        tenant_id.as_str(),
        ids,
    )
    .fetch_all(connection)
    .await?;
    Ok(open.into_iter().map(EventId::from).collect())
}

async fn remove_content(
    connection: &mut Connection,
    lane: Lane,
    tenant_id: &TenantId,
    ids: &[Uuid],
) -> Result<(), StoreError> {
    sqlx::query!(
        r#"
        UPDATE trunkline.payloads
        SET payload = NULL
        WHERE lane = $1 AND tenant_id = $2 AND event_id = ANY($3) AND payload IS NOT NULL
        "#,
        lane.number(),
        tenant_id.as_str(),
        ids,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// What endpoints answered goes with what they were sent: many repeat it in their answer.
async fn remove_answers(
    connection: &mut Connection,
    lane: Lane,
    tenant_id: &TenantId,
    ids: &[Uuid],
) -> Result<(), StoreError> {
    sqlx::query!(
        r#"
        UPDATE trunkline.attempts
        SET response_excerpt = NULL, response_headers = NULL
        WHERE lane = $1 AND tenant_id = $2 AND event_id = ANY($3)
          AND (response_excerpt IS NOT NULL OR response_headers IS NOT NULL)
        "#,
        lane.number(),
        tenant_id.as_str(),
        ids,
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn write_receipts(
    connection: &mut Connection,
    lane: Lane,
    tenant_id: &TenantId,
    ids: &[Uuid],
    erasure_id: ErasureId,
    now: DateTime<Utc>,
) -> Result<u64, StoreError> {
    let written = sqlx::query!(
        r#"
        INSERT INTO trunkline.erasures (lane, tenant_id, event_id, erasure_id, payload_sha256, erased_at)
        SELECT lane, tenant_id, event_id, $4, payload_sha256, $5
        FROM trunkline.events
        WHERE lane = $1 AND tenant_id = $2 AND event_id = ANY($3)
        ORDER BY event_id
        ON CONFLICT (lane, tenant_id, event_id) DO NOTHING
        "#,
        lane.number(),
        tenant_id.as_str(),
        ids,
        erasure_id.as_uuid(),
        now,
    )
    .execute(connection)
    .await?;
    Ok(written.rows_affected())
}

/// The receipt of an event's payload; `None` if it was not erased by request.
///
/// # Errors
/// When the database is not available.
pub async fn receipt_of(
    connection: &mut Connection,
    lane: Lane,
    tenant_id: &TenantId,
    event_id: EventId,
) -> Result<Option<Receipt>, StoreError> {
    let found = sqlx::query!(
        r#"
        SELECT erasure_id, payload_sha256, erased_at
        FROM trunkline.erasures
        WHERE lane = $1 AND tenant_id = $2 AND event_id = $3
        "#,
        lane.number(),
        tenant_id.as_str(),
        event_id.as_uuid(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(found.map(|found| Receipt {
        erasure_id: ErasureId::from(found.erasure_id),
        event_id,
        payload_sha256: found.payload_sha256,
        erased_at: found.erased_at,
    }))
}

/// A page of the receipts of one request, newest event first, below the one named.
///
/// # Errors
/// When the database is not available.
pub async fn receipts(
    connection: &mut Connection,
    lane: Lane,
    tenant_id: &TenantId,
    erasure_id: ErasureId,
    below: Uuid,
    limit: i64,
) -> Result<Vec<Receipt>, StoreError> {
    let rows = sqlx::query!(
        r#"
        SELECT event_id, payload_sha256, erased_at
        FROM trunkline.erasures
        WHERE lane = $1 AND tenant_id = $2 AND erasure_id = $3 AND event_id < $4
        ORDER BY event_id DESC
        LIMIT $5
        "#,
        lane.number(),
        tenant_id.as_str(),
        erasure_id.as_uuid(),
        below,
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|found| Receipt {
            erasure_id,
            event_id: EventId::from(found.event_id),
            payload_sha256: found.payload_sha256,
            erased_at: found.erased_at,
        })
        .collect())
}

/// Those of the events whose payload is still there.
///
/// # Errors
/// When the database is not available.
pub async fn with_content(
    connection: &mut Connection,
    lane: Lane,
    tenant_id: &TenantId,
    events: &[EventId],
) -> Result<Vec<EventId>, StoreError> {
    let ids: Vec<Uuid> = events.iter().map(|id| id.as_uuid()).collect();
    let found = sqlx::query_scalar!(
        r#"
        SELECT event_id
        FROM trunkline.payloads
        WHERE lane = $1 AND tenant_id = $2 AND event_id = ANY($3) AND payload IS NOT NULL
        ORDER BY event_id DESC
        "#,
        lane.number(),
        tenant_id.as_str(),
        &ids,
    )
    .fetch_all(connection)
    .await?;
    Ok(found.into_iter().map(EventId::from).collect())
}
