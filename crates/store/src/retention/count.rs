use chrono::NaiveDate;

use crate::{Connection, StoreError};

/// A day that is to be counted: one that ended an hour ago or more and never was; or one of the last ten, or in which something
/// still waits, that was not for a day.
///
/// # Errors
/// When the database is not available.
pub async fn day_to_count(connection: &mut Connection) -> Result<Option<NaiveDate>, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"
        SELECT d.day AS "day!"
        FROM (
            SELECT day::date AS day
            FROM trunkline.history_partitions AS h
            CROSS JOIN LATERAL generate_series(h.from_day, h.until_day - 1, interval '1 day') AS day
        ) AS d
        LEFT JOIN trunkline.counted_days AS c ON c.day = d.day
        WHERE d.day < (now() AT TIME ZONE 'UTC' - interval '1 hour')::date
          AND (c.counted_at IS NULL
               OR (c.counted_at < now() - interval '1 day'
                   AND (d.day > (now() AT TIME ZONE 'UTC')::date - 10
                        OR EXISTS (SELECT FROM trunkline.tenant_days AS t WHERE t.day = d.day AND t.waiting > 0))))
        ORDER BY d.day
        LIMIT 1
        "#
    )
    .fetch_optional(connection)
    .await?)
}

/// Counts a day into `tenant_days`, which outlives its history.
///
/// # Errors
/// When the database is not available.
pub async fn count_day(connection: &mut Connection, day: NaiveDate) -> Result<(), StoreError> {
    sqlx::query_scalar!("SELECT trunkline.count_day($1)", day).fetch_one(connection).await?;
    Ok(())
}
