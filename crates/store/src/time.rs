//! The database's clock, by which all schedules and leases are kept.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::StoreError;

/// What time it is in the database.
///
/// # Errors
/// When the database is not available.
pub async fn now(connection: &mut PgConnection) -> Result<DateTime<Utc>, StoreError> {
    Ok(sqlx::query_scalar!(r#"SELECT clock_timestamp() AS "now!""#)
        .fetch_one(connection)
        .await?)
}
