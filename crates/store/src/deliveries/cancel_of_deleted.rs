use chrono::{DateTime, Utc};
use trunkline_domain::EndpointId;
use uuid::Uuid;

use crate::citus::{self, Lanes};
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
    let mut cancelled = 0;
    for of in citus::every_shard(connection).await? {
        let done = cancel_of_deleted_of(connection, endpoint_id, &of, now, limit).await;
        cancelled += done.map_err(|error| citus::forget_if_refused(connection, error))?;
    }
    Ok(cancelled)
}

async fn cancel_of_deleted_of(
    connection: &mut Connection,
    endpoint_id: Option<EndpointId>,
    of: &Lanes,
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
                      AND ($4::smallint[] IS NULL OR lane = ANY($4)) AND due_at IS NOT NULL
                    LIMIT $2
                )
                UNION ALL
                (
                    SELECT event_id
                    FROM trunkline.deliveries
                    WHERE lane = e.lane AND tenant_id = e.tenant_id AND endpoint_id = e.endpoint_id
                      AND ($4::smallint[] IS NULL OR lane = ANY($4))
                      AND ordering_key IS NOT NULL AND finished_at IS NULL AND held
                    LIMIT $2
                )
            ) AS d
            WHERE e.deleted_at IS NOT NULL AND NOT e.cleared AND ($4::smallint[] IS NULL OR e.lane = ANY($4)) AND ($3::uuid IS NULL OR e.endpoint_id = $3)
            LIMIT $2
        ), open AS (
            SELECT d.lane, d.tenant_id, d.event_id, d.endpoint_id, d.attempts, d.lease, d.leased_until
            FROM found AS f
            JOIN trunkline.deliveries AS d USING (lane, tenant_id, event_id, endpoint_id)
            WHERE (d.due_at IS NOT NULL OR d.held) AND ($4::smallint[] IS NULL OR d.lane = ANY($4))
            FOR UPDATE OF d SKIP LOCKED
        ), cancelled AS (
            UPDATE trunkline.deliveries AS d
            SET status = 'CANCELLED', due_at = NULL, held = false, expedited = false,
                lease = NULL, leased_until = NULL, finished_at = $1,
                last_attempt_at = CASE WHEN o.lease IS NULL THEN d.last_attempt_at ELSE least($1, o.leased_until) END
            FROM open AS o
            WHERE d.lane = o.lane AND d.tenant_id = o.tenant_id AND d.event_id = o.event_id
              AND d.endpoint_id = o.endpoint_id AND ($4::smallint[] IS NULL OR d.lane = ANY($4))
            RETURNING d.lane, d.tenant_id, d.event_id, d.endpoint_id, o.attempts, o.lease, o.leased_until
        ), superseded AS (
            INSERT INTO trunkline.attempts (lane, tenant_id, event_id, endpoint_id, attempt, started_at, outcome, error)
            SELECT lane, tenant_id, event_id, endpoint_id, attempts, least($1, leased_until), 'superseded',
                   'its endpoint was deleted while it was under way'
            FROM cancelled
            WHERE lease IS NOT NULL
            RETURNING lane
        )
        SELECT count(*) AS "cancelled!" FROM cancelled
        "#,
        now,
        limit,
        endpoint_id.map(EndpointId::as_uuid),
        of.parameter() as _,
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
    let mut cleared = 0;
    for of in citus::every_shard(connection).await? {
        let done = match nothing_open(connection, &of, deleted_before).await {
            Ok(done) => done,
            Err(error) => return Err(citus::forget_if_refused(connection, error)),
        };
        if !done.is_empty() {
            cleared += note_cleared(connection, &done).await?;
        }
    }
    Ok(cleared)
}

/// Two statements, because a node of a cluster can look at deliveries only where they are, and an endpoint is on every one. What is
/// closed stays closed: nothing is published to a deleted endpoint.
async fn nothing_open(
    connection: &mut Connection,
    of: &Lanes,
    deleted_before: DateTime<Utc>,
) -> Result<Vec<Uuid>, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"
        SELECT e.endpoint_id
        FROM trunkline.endpoints AS e
        WHERE e.deleted_at < $1 AND NOT e.cleared AND ($2::smallint[] IS NULL OR e.lane = ANY($2))
          AND NOT EXISTS (
              SELECT FROM trunkline.deliveries
              WHERE lane = e.lane AND tenant_id = e.tenant_id AND endpoint_id = e.endpoint_id AND due_at IS NOT NULL
                AND ($2::smallint[] IS NULL OR lane = ANY($2))
          )
          AND NOT EXISTS (
              SELECT FROM trunkline.deliveries
              WHERE lane = e.lane AND tenant_id = e.tenant_id AND endpoint_id = e.endpoint_id
                AND ordering_key IS NOT NULL AND finished_at IS NULL AND held AND ($2::smallint[] IS NULL OR lane = ANY($2))
          )
        "#,
        deleted_before,
        of.parameter() as _,
    )
    .fetch_all(connection)
    .await?)
}

async fn note_cleared(connection: &mut Connection, endpoints: &[Uuid]) -> Result<u64, StoreError> {
    let cleared = sqlx::query!(
        r#"
        UPDATE trunkline.endpoints
        SET cleared = true
        WHERE endpoint_id = ANY($1) AND deleted_at IS NOT NULL AND NOT cleared
        "#,
        endpoints,
    )
    .execute(connection)
    .await?;
    Ok(cleared.rows_affected())
}
