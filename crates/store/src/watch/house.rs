use chrono::{DateTime, Utc};

use crate::{Connection, StoreError};

/// A worker, as `trunkline top` shows it.
#[derive(Debug, Clone)]
pub struct WorkerShown {
    /// Host name and process id.
    pub name: String,
    /// Its release.
    pub version: String,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// When it last said that it lives.
    pub seen_at: DateTime<Utc>,
    /// Lanes whose lease it holds.
    pub lanes: i64,
}

/// What was ever written, as the server's statistics count it; the difference of two readings is a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// Events.
    pub events: i64,
    /// Attempts that ended.
    pub attempts: i64,
}

/// The workers that are listed, the longest running first.
///
/// # Errors
/// When the database is not available.
pub async fn workers(
    connection: &mut Connection,
    now: DateTime<Utc>,
) -> Result<Vec<WorkerShown>, StoreError> {
    Ok(sqlx::query_as!(
        WorkerShown,
        r#"
        SELECT w.name, w.version, w.started_at, w.seen_at,
               (SELECT count(*) FROM trunkline.lanes AS l WHERE l.owner = w.worker_id AND l.leased_until > $1) AS "lanes!"
        FROM trunkline.workers AS w
        ORDER BY w.started_at, w.worker_id
        LIMIT 1000
        "#,
        now,
    )
    .fetch_all(connection)
    .await?)
}

/// How long the oldest transaction of this database has been open, prepared ones included. Nothing that was deleted since is
/// cleared away. The transaction that holds the turn of retention is none of those: it has no snapshot. A role without `pg_read_all_stats` sees its own sessions only.
///
/// # Errors
/// When the database is not available.
pub async fn oldest_transaction_seconds(connection: &mut Connection) -> Result<f64, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"
        SELECT coalesce(extract(epoch FROM clock_timestamp() - min(since)), 0)::double precision AS "seconds!"
        FROM (
            SELECT xact_start AS since
            FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
              AND (application_name <> 'trunkline retention' OR backend_xmin IS NOT NULL)
            UNION ALL
            SELECT prepared
            FROM pg_prepared_xacts
            WHERE database = current_database()
        ) AS open
        "#
    )
    .fetch_one(connection)
    .await?)
}

/// Reads the server's counters of rows, which run a second behind, or ten where little happens; no history is read.
///
/// # Errors
/// When the database is not available.
pub async fn counted(connection: &mut Connection) -> Result<Counted, StoreError> {
    Ok(sqlx::query_as!(
        Counted,
        r#"
        SELECT coalesce(sum(n) FILTER (WHERE parent = 'trunkline.events'::regclass), 0)::bigint AS "events!",
               coalesce(sum(n) FILTER (WHERE parent = 'trunkline.attempts'::regclass), 0)::bigint AS "attempts!"
        FROM (
            SELECT inhparent AS parent, pg_stat_get_tuples_inserted(inhrelid) AS n
            FROM pg_inherits
            WHERE inhparent IN ('trunkline.events'::regclass, 'trunkline.attempts'::regclass)
        ) AS parts
        "#
    )
    .fetch_one(connection)
    .await?)
}
