//! What `trunkline doctor` asks of a database.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::StoreError;

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
pub async fn server_settings(connection: &mut PgConnection) -> Result<ServerSettings, StoreError> {
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

/// Looks at the queue: a bounded count and the oldest entry.
///
/// # Errors
/// When the database is not available.
pub async fn queue(connection: &mut PgConnection, now: DateTime<Utc>) -> Result<Queue, StoreError> {
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
