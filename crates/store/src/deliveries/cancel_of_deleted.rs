use chrono::{DateTime, Utc};

use crate::{Connection, StoreError};

/// Cancels open deliveries to endpoints deleted after `deleted_after`, at most `limit` of them, and returns how many. A deletion cancels
/// what it sees; whoever published while it ran may commit later, and nobody else would ever look at what that left.
///
/// # Errors
/// When the database is not available.
pub async fn cancel_of_deleted(
    connection: &mut Connection,
    deleted_after: DateTime<Utc>,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<u64, StoreError> {
    let cancelled = sqlx::query_scalar!(
        r#"
        WITH found AS MATERIALIZED (
            SELECT e.lane, e.tenant_id, e.endpoint_id, d.event_id
            FROM trunkline.endpoints AS e
            CROSS JOIN LATERAL (
                -- Each half has an index.
                (
                    SELECT event_id
                    FROM trunkline.deliveries
                    WHERE lane = e.lane AND tenant_id = e.tenant_id AND endpoint_id = e.endpoint_id
                      AND due_at IS NOT NULL
                    LIMIT $3
                )
                UNION ALL
                (
                    SELECT event_id
                    FROM trunkline.deliveries
                    WHERE lane = e.lane AND tenant_id = e.tenant_id AND endpoint_id = e.endpoint_id
                      AND ordering_key IS NOT NULL AND finished_at IS NULL AND held
                    LIMIT $3
                )
            ) AS d
            WHERE e.deleted_at > $1
            LIMIT $3
        ), open AS (
            SELECT d.lane, d.tenant_id, d.event_id, d.endpoint_id, d.attempts, d.lease, d.leased_until
            FROM found AS f
            JOIN trunkline.deliveries AS d USING (lane, tenant_id, event_id, endpoint_id)
            WHERE d.due_at IS NOT NULL OR d.held
            FOR UPDATE OF d SKIP LOCKED
        ), cancelled AS (
            UPDATE trunkline.deliveries AS d
            SET status = 'CANCELLED', due_at = NULL, held = false, expedited = false,
                lease = NULL, leased_until = NULL, finished_at = $2
            FROM open AS o
            WHERE d.lane = o.lane AND d.tenant_id = o.tenant_id AND d.event_id = o.event_id
              AND d.endpoint_id = o.endpoint_id
            RETURNING d.lane, d.tenant_id, d.event_id, d.endpoint_id, o.attempts, o.lease, o.leased_until
        ), superseded AS (
            INSERT INTO trunkline.attempts (lane, tenant_id, event_id, endpoint_id, attempt, started_at, outcome, error)
            SELECT lane, tenant_id, event_id, endpoint_id, attempts, least($2, leased_until), 'superseded',
                   'its endpoint was deleted while it was under way'
            FROM cancelled
            WHERE lease IS NOT NULL
        )
        SELECT count(*) AS "cancelled!" FROM cancelled
        "#,
        deleted_after,
        now,
        limit,
    )
    .fetch_one(connection)
    .await?;
    Ok(u64::try_from(cancelled).unwrap_or(0))
}
