//! What `trunkline doctor` asks of a database.

use chrono::{DateTime, Utc};

use crate::{Connection, StoreError};

/// How far the queue is counted; a larger one is shown as "at least".
pub const QUEUE_COUNT_MAX: i64 = 10_000;

/// Settings of the server on which promises stand.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// Such as 150018.
    pub version_num: i32,
    /// Such as `15.18 (Debian 15.18-0+deb12u1)`.
    pub version: String,
    /// Off: a crash of the machine can lose or corrupt everything.
    pub fsync: bool,
    /// The server's default; Trunkline's own sessions set it to `on`.
    pub synchronous_commit: String,
    /// Off: a torn page after a crash is not repaired.
    pub full_page_writes: bool,
    /// Whether it is a standby, which takes no writes.
    pub in_recovery: bool,
}

/// The work that waits.
#[derive(Debug, Clone)]
pub struct Queue {
    /// Deliveries that are due and not under way, counted up to [`QUEUE_COUNT_MAX`].
    pub due: i64,
    /// Since when the oldest of those has been due.
    pub oldest_due_at: Option<DateTime<Utc>>,
}

/// Reads the server's settings.
///
/// # Errors
/// When the database is not available.
pub async fn server_settings(connection: &mut Connection) -> Result<ServerSettings, StoreError> {
    Ok(sqlx::query_as!(
        ServerSettings,
        r#"
        SELECT current_setting('server_version_num')::integer AS "version_num!",
               current_setting('server_version') AS "version!",
               current_setting('fsync')::boolean AS "fsync!",
               (SELECT reset_val FROM pg_settings WHERE name = 'synchronous_commit') AS "synchronous_commit!",
               current_setting('full_page_writes')::boolean AS "full_page_writes!",
               pg_is_in_recovery() AS "in_recovery!"
        "#
    )
    .fetch_one(connection)
    .await?)
}

/// Endpoints that get nothing because their payload filter could take too long: it was saved when more was accepted.
///
/// # Errors
/// When the database is not available.
pub async fn refused_filters(connection: &mut Connection) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"
        SELECT count(*) AS "count!"
        FROM trunkline.endpoints
        WHERE payload_filter IS NOT NULL AND filter_weight IS NULL AND deleted_at IS NULL
        "#
    )
    .fetch_one(connection)
    .await?)
}

/// Looks at the queue: a bounded count and the oldest entry.
///
/// # Errors
/// When the database is not available.
pub async fn queue(connection: &mut Connection, now: DateTime<Utc>) -> Result<Queue, StoreError> {
    Ok(sqlx::query_as!(
        Queue,
        r#"
        SELECT count(*) AS "due!", min(due_at) AS oldest_due_at
        FROM (
            SELECT due_at
            FROM trunkline.deliveries
            WHERE due_at <= $1 AND (leased_until IS NULL OR leased_until < $1)
            LIMIT $2
        ) AS due
        "#,
        now,
        QUEUE_COUNT_MAX,
    )
    .fetch_one(connection)
    .await?)
}

/// Whoever keeps vacuum from removing dead rows: nothing that died since its snapshot goes.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Since when.
    pub seconds: i64,
    /// Which session, prepared transaction or replication slot.
    pub holder: String,
}

/// Whether this login may see what the sessions of others hold.
///
/// # Errors
/// When the database is not available.
pub async fn sees_all_sessions(connection: &mut Connection) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar!(r#"SELECT pg_has_role('pg_read_all_stats', 'USAGE') AS "sees_all!""#)
        .fetch_one(connection)
        .await?)
}

/// The oldest snapshot of the server, of which this login may know.
///
/// # Errors
/// When the database is not available.
pub async fn oldest_snapshot(connection: &mut Connection) -> Result<Option<Snapshot>, StoreError> {
    Ok(sqlx::query_as!(
        Snapshot,
        r#"
        SELECT extract(epoch FROM now() - since)::bigint AS "seconds!", holder AS "holder!"
        FROM (
            SELECT coalesce(xact_start, backend_start) AS since,
                   'session ' || pid || ' (' || coalesce(nullif(application_name, ''), 'no name') || ', ' || coalesce(state, '?') || ')' AS holder
            FROM pg_stat_activity
            WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'
              -- The turn of retention waits idle in a transaction, and holds no snapshot.
              AND (backend_xmin IS NOT NULL OR (state LIKE 'idle in transaction%' AND application_name <> 'trunkline retention'))
            UNION ALL
            SELECT prepared, 'prepared transaction ' || gid
            FROM pg_prepared_xacts
            UNION ALL
            -- A slot has no time; one that nobody uses holds for as long as it is left.
            SELECT now() - interval '1 day', 'replication slot ' || slot_name || ', which nobody uses'
            FROM pg_replication_slots
            WHERE NOT active AND (xmin IS NOT NULL OR catalog_xmin IS NOT NULL)
        ) AS holders
        WHERE since IS NOT NULL
        ORDER BY since
        LIMIT 1
        "#
    )
    .fetch_optional(connection)
    .await?)
}

/// A table with many dead rows.
#[derive(Debug, Clone)]
pub struct Bloat {
    /// Its name.
    pub table: String,
    /// Rows that vacuum has not removed.
    pub dead_rows: i64,
    /// Rows that live.
    pub live_rows: i64,
    /// Whether vacuum by itself is off, for the table or for the server.
    pub autovacuum_off: bool,
}

/// The table of which most is dead: more than `dead_rows_min` rows, and more than a fifth of it; or one that is not vacuumed by itself.
///
/// # Errors
/// When the database is not available.
pub async fn worst_bloat(
    connection: &mut Connection,
    dead_rows_min: i64,
) -> Result<Option<Bloat>, StoreError> {
    Ok(sqlx::query_as!(
        Bloat,
        r#"
        SELECT s.relname::text AS "table!", coalesce(s.n_dead_tup, 0) AS "dead_rows!", coalesce(s.n_live_tup, 0) AS "live_rows!",
               off.is_off AS "autovacuum_off!"
        FROM pg_stat_user_tables AS s
        JOIN pg_class AS c ON c.oid = s.relid
        CROSS JOIN LATERAL (
            SELECT NOT current_setting('autovacuum')::boolean
                   OR coalesce(c.reloptions @> ARRAY['autovacuum_enabled=false'], false) AS is_off
        ) AS off
        WHERE s.schemaname = 'trunkline'
          AND (off.is_off OR (s.n_dead_tup > $1 AND s.n_dead_tup > 0.2 * (s.n_live_tup + s.n_dead_tup)))
        ORDER BY s.n_dead_tup DESC
        LIMIT 1
        "#,
        dead_rows_min,
    )
    .fetch_optional(connection)
    .await?)
}

/// What is wrong with the partitions of history; empty if nothing is. At most ten complaints.
///
/// # Errors
/// When the database is not available.
pub async fn partition_faults(connection: &mut Connection) -> Result<Vec<String>, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"
        SELECT fault AS "fault!"
        FROM (
            SELECT 'no partitions from ' || before || ' to ' || from_day AS fault, from_day
            FROM (
                SELECT from_day, lag(until_day) OVER days AS before, lag(kept_until IS NOT NULL) OVER days AS was_brought_back
                FROM trunkline.history_partitions
                WINDOW days AS (ORDER BY from_day)
            ) AS days
            WHERE before < from_day AND NOT was_brought_back
            UNION ALL
            SELECT p.name || CASE
                       WHEN c.oid IS NULL THEN ' is missing'
                       WHEN i.inhrelid IS NULL THEN ' is detached and still there'
                       ELSE ' is half detached'
                   END, h.from_day
            FROM trunkline.history_partitions AS h
            CROSS JOIN unnest(ARRAY['events', 'payloads', 'deliveries', 'attempts']) AS parent
            CROSS JOIN LATERAL (SELECT parent || '_' || to_char(h.from_day, 'YYYYMMDD') AS name) AS p
            LEFT JOIN pg_class AS c ON c.relnamespace = 'trunkline'::regnamespace AND c.relname = p.name
            LEFT JOIN pg_inherits AS i ON i.inhrelid = c.oid
            WHERE NOT (parent = 'payloads' AND h.payloads_gone_at IS NOT NULL)
              AND (c.oid IS NULL OR i.inhrelid IS NULL OR i.inhdetachpending)
        ) AS faults
        ORDER BY from_day
        LIMIT 10
        "#
    )
    .fetch_all(connection)
    .await?)
}

/// Settings in the database that change nothing: retentions that are no shorter than what holds anyway, and readers bound to a login
/// that is not there. At most ten.
///
/// # Errors
/// When the database is not available.
pub async fn settings_without_effect(
    connection: &mut Connection,
    retention_days: i32,
) -> Result<Vec<String>, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"
        SELECT setting AS "setting!"
        FROM (
            SELECT 'retention of tenant ' || tenant_id || ' (' || retention_days || ' days)' AS setting
            FROM trunkline.tenants
            WHERE retention_days >= $1
            UNION ALL
            SELECT 'retention of type ' || y.type || ' of tenant ' || y.tenant_id || ' (' || y.retention_days || ' days)'
            FROM trunkline.event_types AS y
            JOIN trunkline.tenants AS t USING (tenant_id)
            WHERE y.retention_days >= least($1, t.retention_days)
            UNION ALL
            SELECT 'reader ' || role_name || ': no such login'
            FROM trunkline.reader_tenants
            WHERE to_regrole(quote_ident(role_name)) IS NULL
        ) AS settings
        ORDER BY setting
        LIMIT 10
        "#,
        retention_days,
    )
    .fetch_all(connection)
    .await?)
}
