use chrono::{DateTime, Utc};
use trunkline_domain::EndpointId;

use crate::{Connection, StoreError};

/// Cancels open deliveries to deleted endpoints, or only to that one, at most `limit` of them, and returns how many: what a deletion left, and what came
/// after it. Whoever published or retried while it ran may have committed later, and nobody else would ever look at that. What somebody
/// has locked is passed over. Nobody waits behind these by an ordering key: whoever does is of the same endpoint.
///
/// # Errors
/// When the database is not available.
pub async fn cancel_of_deleted(
    connection: &mut Connection,
    endpoint_id: Option<EndpointId>,
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
                    LIMIT $2
                )
                UNION ALL
                (
                    SELECT event_id
                    FROM trunkline.deliveries
                    WHERE lane = e.lane AND tenant_id = e.tenant_id AND endpoint_id = e.endpoint_id
                      AND ordering_key IS NOT NULL AND finished_at IS NULL AND held
                    LIMIT $2
                )
            ) AS d
            WHERE e.deleted_at IS NOT NULL AND NOT e.cleared AND ($3::uuid IS NULL OR e.endpoint_id = $3)
            LIMIT $2
        ), open AS (
            SELECT d.lane, d.tenant_id, d.event_id, d.endpoint_id, d.attempts, d.lease, d.leased_until
            FROM found AS f
            JOIN trunkline.deliveries AS d USING (lane, tenant_id, event_id, endpoint_id)
            WHERE d.due_at IS NOT NULL OR d.held
            FOR UPDATE OF d SKIP LOCKED
        ), cancelled AS (
            UPDATE trunkline.deliveries AS d
            SET status = 'CANCELLED', due_at = NULL, held = false, expedited = false,
                lease = NULL, leased_until = NULL, finished_at = $1
            FROM open AS o
            WHERE d.lane = o.lane AND d.tenant_id = o.tenant_id AND d.event_id = o.event_id
              AND d.endpoint_id = o.endpoint_id
            RETURNING d.lane, d.tenant_id, d.event_id, d.endpoint_id, o.attempts, o.lease, o.leased_until
        ), superseded AS (
            INSERT INTO trunkline.attempts (lane, tenant_id, event_id, endpoint_id, attempt, started_at, outcome, error)
            SELECT lane, tenant_id, event_id, endpoint_id, attempts, least($1, leased_until), 'superseded',
                   'its endpoint was deleted while it was under way'
            FROM cancelled
            WHERE lease IS NOT NULL
        )
        SELECT count(*) AS "cancelled!" FROM cancelled
        "#,
        now,
        limit,
        endpoint_id.map(EndpointId::as_uuid),
    )
    .fetch_one(connection)
    .await?;
    Ok(u64::try_from(cancelled).unwrap_or(0))
}

/// Notes that of endpoints deleted before `deleted_before` nothing is open any more, so that nobody looks again. Earlier than that a
/// transaction may still be under way that knew them alive.
///
/// # Errors
/// When the database is not available.
pub async fn clear_deleted(
    connection: &mut Connection,
    deleted_before: DateTime<Utc>,
) -> Result<u64, StoreError> {
    let cleared = sqlx::query!(
        r#"
        UPDATE trunkline.endpoints AS e
        SET cleared = true
        WHERE e.deleted_at < $1 AND NOT e.cleared
          AND NOT EXISTS (
              SELECT FROM trunkline.deliveries
              WHERE lane = e.lane AND tenant_id = e.tenant_id AND endpoint_id = e.endpoint_id AND due_at IS NOT NULL
          )
          AND NOT EXISTS (
              SELECT FROM trunkline.deliveries
              WHERE lane = e.lane AND tenant_id = e.tenant_id AND endpoint_id = e.endpoint_id
                AND ordering_key IS NOT NULL AND finished_at IS NULL AND held
          )
        "#,
        deleted_before,
    )
    .execute(connection)
    .await?;
    Ok(cleared.rows_affected())
}
