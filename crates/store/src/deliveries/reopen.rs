use chrono::{DateTime, Utc};
use trunkline_domain::{DeliveryStatus, EndpointId, EventId, Lane, TenantId};

use crate::{Connection, StoreError, row};

/// What a retry by hand did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reopened {
    /// So many deliveries are due now, with a fresh budget.
    Deliveries(u64),
    /// None had failed: somebody was faster, or there was nothing to retry.
    NoneFailed,
    /// The payload was erased; there is nothing to send.
    PayloadGone,
    /// The endpoints of all that failed were deleted; there is nobody to send it to.
    EndpointGone,
}

/// Retries the failed deliveries of an event by hand, all or only the one to `endpoint_id`: due at once, past a pause, with a
/// fresh budget. An attempt under way loses its lease and ends as `superseded`. Two at once: the second waits for the first
/// and finds none failed.
///
/// # Errors
/// When the database is not available.
pub async fn reopen(
    connection: &mut Connection,
    lane: Lane,
    tenant_id: &TenantId,
    event_id: EventId,
    endpoint_id: Option<EndpointId>,
    now: DateTime<Utc>,
) -> Result<Reopened, StoreError> {
    let done = sqlx::query!(
        r#"
        WITH content AS (
            SELECT FROM trunkline.payloads
            WHERE lane = $1 AND tenant_id = $2 AND event_id = $3 AND payload IS NOT NULL
        ), failed AS (
            SELECT endpoint_id, attempts, lease, leased_until,
                   EXISTS (
                       SELECT FROM trunkline.endpoints AS p
                       WHERE p.tenant_id = $2 AND p.endpoint_id = d.endpoint_id AND p.deleted_at IS NULL
                   ) AS endpoint_lives
            FROM trunkline.deliveries AS d
            WHERE lane = $1 AND tenant_id = $2 AND event_id = $3 AND status = 'FAILED'
              AND ($5::uuid IS NULL OR endpoint_id = $5)
              AND EXISTS (
                  SELECT FROM trunkline.events AS e
                  WHERE e.lane = $1 AND e.tenant_id = $2 AND e.event_id = $3
                    AND NOT (EXISTS (SELECT FROM trunkline.short_retentions WHERE tenant_id = $2) AND e.event_id < trunkline.kept_from($2, e.type))
              )
            ORDER BY endpoint_id
            FOR UPDATE
        ), reopened AS (
            UPDATE trunkline.deliveries AS d
            SET status = 'PENDING', due_at = $4, cycle_attempts = 0, expedited = true,
                lease = NULL, leased_until = NULL, finished_at = NULL,
                last_attempt_at = CASE WHEN f.lease IS NULL THEN d.last_attempt_at ELSE least($4, f.leased_until) END
            FROM failed AS f
            WHERE d.lane = $1 AND d.tenant_id = $2 AND d.event_id = $3 AND d.endpoint_id = f.endpoint_id
              AND f.endpoint_lives AND EXISTS (SELECT FROM content)
            RETURNING d.endpoint_id, f.attempts, f.lease, f.leased_until
        ), superseded AS (
            INSERT INTO trunkline.attempts (lane, tenant_id, event_id, endpoint_id, attempt, started_at, outcome, error)
            SELECT $1, $2, $3, endpoint_id, attempts, least($4, leased_until), 'superseded', 'retried by hand while it was under way'
            FROM reopened
            WHERE lease IS NOT NULL
            RETURNING lane
        )
        SELECT (SELECT count(*) FROM reopened) AS "reopened!", EXISTS (SELECT FROM failed) AS "any_failed!",
               EXISTS (SELECT FROM content) AS "has_content!"
        "#,
        lane.number(),
        tenant_id.as_str(),
        event_id.as_uuid(),
        now,
        endpoint_id.map(EndpointId::as_uuid),
    )
    .fetch_one(connection)
    .await?;
    Ok(match u64::try_from(done.reopened).unwrap_or(0) {
        0 if !done.any_failed => Reopened::NoneFailed,
        0 if !done.has_content => Reopened::PayloadGone,
        0 => Reopened::EndpointGone,
        count => Reopened::Deliveries(count),
    })
}

/// How one delivery stands, or `None` if there is no such delivery.
///
/// # Errors
/// When the database is not available.
pub async fn status(
    connection: &mut Connection,
    lane: Lane,
    tenant_id: &TenantId,
    event_id: EventId,
    endpoint_id: EndpointId,
) -> Result<Option<DeliveryStatus>, StoreError> {
    let word = sqlx::query_scalar!(
        r#"
        SELECT status::text AS "status!"
        FROM trunkline.deliveries
        WHERE lane = $1 AND tenant_id = $2 AND event_id = $3 AND endpoint_id = $4
        "#,
        lane.number(),
        tenant_id.as_str(),
        event_id.as_uuid(),
        endpoint_id.as_uuid(),
    )
    .fetch_optional(connection)
    .await?;
    word.map(|word| row::delivery_status(&word, event_id)).transpose()
}
