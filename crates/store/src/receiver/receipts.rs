use chrono::{DateTime, Utc};
use trunkline_domain::TenantId;

use crate::{Connection, StoreError};

/// Whether a webhook was seen before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// The first time on this path: it takes effect.
    First,
    /// It came again and has no second effect.
    Again,
}

/// A webhook that arrived.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// What names the fact.
    pub webhook_id: String,
    /// The path's name; empty for `/webhook` itself.
    pub path: String,
    /// What happened.
    pub event_type: Option<String>,
    /// When it first arrived.
    pub received_at: DateTime<Utc>,
    /// How often it came again.
    pub duplicates: i32,
}

/// Records an arrival. Two at once with the same id: one is the first.
///
/// # Errors
/// When the database is not available.
pub async fn arrived(
    connection: &mut Connection,
    tenant_id: &TenantId,
    path: &str,
    webhook_id: &str,
    event_type: Option<&str>,
    now: DateTime<Utc>,
) -> Result<Seen, StoreError> {
    let duplicates = sqlx::query_scalar!(
        r#"
        INSERT INTO trunkline.receipts AS r (tenant_id, path, webhook_id, type, received_at)
        VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (tenant_id, path, webhook_id) DO UPDATE SET duplicates = r.duplicates + 1
        RETURNING duplicates
        "#,
        tenant_id.as_str(),
        path,
        webhook_id,
        event_type,
        now,
    )
    .fetch_one(connection)
    .await?;
    Ok(if duplicates == 0 { Seen::First } else { Seen::Again })
}

/// The last `limit` arrivals of a tenant, newest first.
///
/// # Errors
/// When the database is not available.
pub async fn recent(
    connection: &mut Connection,
    tenant_id: &TenantId,
    limit: i64,
) -> Result<Vec<Receipt>, StoreError> {
    Ok(sqlx::query_as!(
        Receipt,
        r#"
        SELECT webhook_id, path, type AS event_type, received_at, duplicates
        FROM trunkline.receipts
        WHERE tenant_id = $1
        ORDER BY received_at DESC
        LIMIT $2
        "#,
        tenant_id.as_str(),
        limit,
    )
    .fetch_all(connection)
    .await?)
}

/// Forgets at most 1,000 arrivals from before `before`, and returns how many.
///
/// # Errors
/// When the database is not available.
pub async fn sweep(connection: &mut Connection, before: DateTime<Utc>) -> Result<u64, StoreError> {
    let swept = sqlx::query!(
        r#"
        DELETE FROM trunkline.receipts
        WHERE (tenant_id, path, webhook_id) IN (
            SELECT tenant_id, path, webhook_id
            FROM trunkline.receipts
            WHERE received_at < $1
            ORDER BY received_at
            LIMIT 1000
            FOR UPDATE SKIP LOCKED
        )
        "#,
        before,
    )
    .execute(connection)
    .await?;
    Ok(swept.rows_affected())
}
