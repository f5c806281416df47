//! The worker processes that are alive.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::StoreError;

/// Says that a worker is alive, and forgets those that have not said so since `dead_before`.
///
/// # Errors
/// When the database is not available.
pub async fn beat(
    connection: &mut PgConnection,
    worker_id: Uuid,
    name: &str,
    version: &str,
    now: DateTime<Utc>,
    dead_before: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query!(
        r#"
        WITH swept AS (
            DELETE FROM trunkline.workers WHERE seen_at < $5
        )
        INSERT INTO trunkline.workers (worker_id, name, version, started_at, seen_at)
        VALUES ($1, $2, $3, $4, $4)
        ON CONFLICT (worker_id) DO UPDATE SET seen_at = EXCLUDED.seen_at
        "#,
        worker_id,
        name,
        version,
        now,
        dead_before,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Removes a worker that stops in good order.
///
/// # Errors
/// When the database is not available.
pub async fn leave(connection: &mut PgConnection, worker_id: Uuid) -> Result<(), StoreError> {
    sqlx::query!("DELETE FROM trunkline.workers WHERE worker_id = $1", worker_id).execute(connection).await?;
    Ok(())
}
