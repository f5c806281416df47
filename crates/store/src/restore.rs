//! After the database was restored to an earlier moment: what was delivered since then looks as if it still had to be. Deliveries
//! are held until a person has seen how many there are.

use chrono::{DateTime, Utc};

use crate::{Connection, StoreError, citus};

/// Open deliveries are counted up to this; more are shown as "at least".
pub const COUNT_MAX: i64 = 100_000;

/// What a restored database knows.
#[derive(Debug, Clone)]
pub struct Standing {
    /// When the last event came that it has. What was accepted later is lost with the database that was.
    pub last_event_at: Option<DateTime<Utc>>,
    /// When a worker last wrote something.
    pub last_worker_at: Option<DateTime<Utc>>,
    /// Deliveries that were under way at that moment, up to [`COUNT_MAX`].
    pub in_flight: i64,
    /// Deliveries that were due and not under way, up to [`COUNT_MAX`].
    pub due: i64,
    /// Deliveries that come due later, up to [`COUNT_MAX`].
    pub scheduled: i64,
    /// Deliveries that wait for an earlier one with the same ordering key, up to [`COUNT_MAX`].
    pub behind_key: i64,
    /// Endpoints that are held.
    pub held_endpoints: i64,
}

/// How a database stands.
///
/// # Errors
/// When the database is not available.
pub async fn standing(connection: &mut Connection) -> Result<Standing, StoreError> {
    Ok(sqlx::query_as!(
        Standing,
        r#"
        SELECT (
                   SELECT max(last.created_at)
                   FROM trunkline.tenants AS t
                   -- The newest of each tenant is the end of its keys.
                   CROSS JOIN LATERAL (
                       SELECT created_at
                       FROM trunkline.events
                       WHERE lane = t.lane AND tenant_id = t.tenant_id
                       ORDER BY event_id DESC
                       LIMIT 1
                   ) AS last
               ) AS last_event_at,
               (SELECT max(seen_at) FROM trunkline.workers) AS last_worker_at,
               count(*) FILTER (WHERE open.lease IS NOT NULL) AS "in_flight!",
               count(*) FILTER (WHERE open.lease IS NULL AND open.due_at <= now()) AS "due!",
               count(*) FILTER (WHERE open.lease IS NULL AND open.due_at > now()) AS "scheduled!",
               (
                   SELECT count(*)
                   FROM (
                       SELECT FROM trunkline.deliveries
                       WHERE held AND ordering_key IS NOT NULL AND finished_at IS NULL
                       LIMIT $1
                   ) AS behind
               ) AS "behind_key!",
               (SELECT count(*) FROM trunkline.restore_holds) AS "held_endpoints!"
        FROM (
            SELECT lease, due_at
            FROM trunkline.deliveries
            WHERE due_at IS NOT NULL
            LIMIT $1
        ) AS open
        "#,
        COUNT_MAX,
    )
    .fetch_one(connection)
    .await?)
}

/// How many endpoints are held.
///
/// # Errors
/// When the database is not available.
pub async fn held_endpoints(connection: &mut Connection) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM trunkline.restore_holds"#)
        .fetch_one(connection)
        .await?)
}

/// Pauses every endpoint that is not paused by hand, and remembers which; and takes from retries by hand and test events that they
/// pass a pause. Returns how many endpoints.
///
/// # Errors
/// When the database is not available.
pub async fn hold(connection: &mut Connection, now: DateTime<Utc>) -> Result<u64, StoreError> {
    for of in citus::every_shard(connection).await? {
        sqlx::query!(
            "UPDATE trunkline.deliveries SET expedited = false
             WHERE expedited AND ($1::smallint[] IS NULL OR lane = ANY($1))",
            of.parameter() as _,
        )
        .execute(&mut *connection)
        .await?;
    }
    let held = sqlx::query!(
        r#"
        WITH held AS (
            UPDATE trunkline.endpoints
            SET paused = true
            WHERE NOT paused AND deleted_at IS NULL
            RETURNING tenant_id, endpoint_id
        )
        INSERT INTO trunkline.restore_holds (tenant_id, endpoint_id, held_at)
        SELECT tenant_id, endpoint_id, $1 FROM held
        ON CONFLICT DO NOTHING
        "#,
        now,
    )
    .execute(connection)
    .await?;
    Ok(held.rows_affected())
}

/// Lets go what [`hold`] paused. Returns how many endpoints.
///
/// # Errors
/// When the database is not available.
pub async fn release(connection: &mut Connection) -> Result<u64, StoreError> {
    let mut transaction = connection.begin().await?;
    sqlx::query!(
        r#"
        UPDATE trunkline.endpoints AS e
        SET paused = false
        FROM trunkline.restore_holds AS h
        WHERE e.tenant_id = h.tenant_id AND e.endpoint_id = h.endpoint_id
        "#
    )
    .execute(&mut *transaction)
    .await?;
    let released = sqlx::query!("DELETE FROM trunkline.restore_holds").execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(released.rows_affected())
}
