//! API keys: only hashes are kept.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use trunkline_domain::{Lane, TenantId};
use uuid::Uuid;

use crate::tenants::TenantStatus;
use crate::{StoreError, row};

/// A key about to be stored.
#[derive(Debug, Clone, Copy)]
pub struct NewKey<'a> {
    /// SHA-256 of the whole key.
    pub sha256: [u8; 32],
    /// How people and scripts name it.
    pub key_id: Uuid,
    /// What it is for.
    pub name: &'a str,
    /// Its first characters.
    pub prefix: &'a str,
    /// Whether it may publish and change things, and not only read.
    pub may_write: bool,
    /// From when on it is refused.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Who calls, as a key that is valid tells.
#[derive(Debug, Clone)]
pub struct KeyOwner {
    /// The tenant.
    pub tenant_id: TenantId,
    /// The tenant's lane.
    pub lane: Lane,
    /// Whether the tenant may publish.
    pub tenant_status: TenantStatus,
    /// Scope `read`.
    pub may_read: bool,
    /// Scope `write`.
    pub may_write: bool,
    /// From when on the key is refused.
    pub expires_at: Option<DateTime<Utc>>,
    /// Events a second the tenant may publish, where it has a limit of its own; 0 = none.
    pub rate_per_second: Option<u32>,
    /// Events it may publish at once, where it has a limit of its own.
    pub burst: Option<u32>,
    /// Whether an endpoint of the tenant has a payload filter: its events are written apart from those of others, since what a
    /// filter costs is up to its author.
    pub has_payload_filters: bool,
}

/// A key as its owner sees it in a list.
#[derive(Debug, Clone)]
pub struct KeyInfo {
    /// How people and scripts name it.
    pub key_id: Uuid,
    /// What it is for.
    pub name: String,
    /// Its first characters.
    pub prefix: String,
    /// `read`, `write`.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// From when on it is refused.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
    /// When it was last used, to within a minute.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// Stores a key of a tenant.
///
/// # Errors
/// When the tenant does not exist, or the database is not available.
pub async fn create(
    connection: &mut PgConnection,
    tenant_id: &TenantId,
    new: &NewKey<'_>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let scopes: &[String] =
        &if new.may_write { vec!["read".to_owned(), "write".to_owned()] } else { vec!["read".to_owned()] };
    sqlx::query!(
        r#"
        INSERT INTO trunkline.api_keys (key_sha256, key_id, tenant_id, name, prefix, scopes, created_at, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        "#,
        new.sha256.as_slice(),
        new.key_id,
        tenant_id.as_str(),
        new.name,
        new.prefix,
        scopes,
        now,
        new.expires_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Whose key has this hash. `None` if it is unknown, revoked, expired, or its tenant is deleted.
///
/// # Errors
/// When the database is not available.
pub async fn find_owner(
    connection: &mut PgConnection,
    sha256: &[u8; 32],
    now: DateTime<Utc>,
) -> Result<Option<KeyOwner>, StoreError> {
    let found = sqlx::query!(
        r#"
        SELECT k.tenant_id, k.scopes, k.expires_at, t.lane, t.status::text AS "status!", t.rate_per_second, t.burst,
               EXISTS (
                   SELECT FROM trunkline.endpoints AS e
                   WHERE e.tenant_id = k.tenant_id AND e.payload_filter IS NOT NULL AND e.deleted_at IS NULL
               ) AS "has_payload_filters!"
        FROM trunkline.api_keys AS k
        JOIN trunkline.tenants AS t USING (tenant_id)
        WHERE k.key_sha256 = $1
          AND k.revoked_at IS NULL
          AND (k.expires_at IS NULL OR k.expires_at > $2)
          AND t.status <> 'DELETED'
        "#,
        sha256.as_slice(),
        now,
    )
    .fetch_optional(connection)
    .await?;
    let Some(found) = found else { return Ok(None) };
    Ok(Some(KeyOwner {
        lane: row::lane("tenants", found.lane, &found.tenant_id)?,
        tenant_status: TenantStatus::from_row(&found.status, &found.tenant_id)?,
        tenant_id: row::tenant_id("api_keys", found.tenant_id)?,
        may_read: found.scopes.iter().any(|scope| scope == "read"),
        may_write: found.scopes.iter().any(|scope| scope == "write"),
        expires_at: found.expires_at,
        rate_per_second: found.rate_per_second.map(row::unsigned),
        burst: found.burst.map(row::unsigned),
        has_payload_filters: found.has_payload_filters,
    }))
}

/// Notes that keys were used. Called now and then with many, so that reading costs no write.
///
/// # Errors
/// When the database is not available.
pub async fn touch(
    connection: &mut PgConnection,
    hashes: &[Vec<u8>],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query!("UPDATE trunkline.api_keys SET last_used_at = $2 WHERE key_sha256 = ANY($1)", hashes, now)
        .execute(connection)
        .await?;
    Ok(())
}

/// Every key of a tenant, newest first, revoked ones too; at most 1,000.
///
/// # Errors
/// When the database is not available.
pub async fn list(connection: &mut PgConnection, tenant_id: &TenantId) -> Result<Vec<KeyInfo>, StoreError> {
    Ok(sqlx::query_as!(
        KeyInfo,
        r#"
        SELECT key_id, name, prefix, scopes, created_at, expires_at, revoked_at, last_used_at
        FROM trunkline.api_keys
        WHERE tenant_id = $1
        ORDER BY created_at DESC, key_id
        LIMIT 1000
        "#,
        tenant_id.as_str(),
    )
    .fetch_all(connection)
    .await?)
}

/// Revokes a key. Returns `false` if the tenant has no such key, or it was revoked before.
///
/// # Errors
/// When the database is not available.
pub async fn revoke(
    connection: &mut PgConnection,
    tenant_id: &TenantId,
    key_id: Uuid,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let revoked = sqlx::query!(
        r#"
        UPDATE trunkline.api_keys
        SET revoked_at = $3
        WHERE tenant_id = $1 AND key_id = $2 AND revoked_at IS NULL
        "#,
        tenant_id.as_str(),
        key_id,
        now,
    )
    .execute(connection)
    .await?;
    Ok(revoked.rows_affected() > 0)
}
