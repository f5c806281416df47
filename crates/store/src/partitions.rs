//! The partitions of the history tables, made ahead of time.

use crate::{Connection, StoreError};

/// Makes the partitions of the next `ahead_days` days, each `width_days` wide, where they are missing.
/// Returns how many were made. Safe to call from several processes at once.
///
/// # Errors
/// When the database is not available, or a long transaction holds a table for more than `lock_timeout`.
pub async fn create_ahead(
    connection: &mut Connection,
    ahead_days: i32,
    width_days: i32,
) -> Result<i32, StoreError> {
    let made = sqlx::query_scalar!(
        r#"SELECT trunkline.create_partitions($1, $2) AS "made!""#,
        ahead_days,
        width_days
    )
    .fetch_one(connection)
    .await?;
    Ok(made)
}

/// How many days after today (UTC) have partitions. Below zero, today has none and every publish fails.
///
/// # Errors
/// When the database is not available.
pub async fn days_ahead(connection: &mut Connection) -> Result<i32, StoreError> {
    let days = sqlx::query_scalar!(
        r#"
        SELECT coalesce(max(until_day) - 1 - (now() AT TIME ZONE 'UTC')::date, -1) AS "days!"
        FROM trunkline.history_partitions
        "#
    )
    .fetch_one(connection)
    .await?;
    Ok(days)
}
