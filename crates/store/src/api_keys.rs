//! API keys: only hashes are kept.

use chrono::{DateTime, Utc};
use trunkline_domain::{KeyId, Lane, TenantId};

use crate::tenants::{self, TenantStatus};
use crate::{Connection, StoreError, row};

/// A key about to be stored.
#[derive(Debug, Clone, Copy)]
pub struct NewKey<'a> {
    /// SHA-256 of the whole key.
    pub sha256: [u8; 32],
    /// How people and scripts name it.
    pub key_id: KeyId,
    /// What it is for.
    pub name: &'a str,
    /// Its first characters.
    pub prefix: &'a str,
    /// Scope `read`: it may see history.
    pub may_read: bool,
    /// Scope `write`: it may publish and change things.
    pub may_write: bool,
    /// From when on it is refused.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Who calls, as a key that is valid tells.
#[derive(Debug, Clone)]
pub struct KeyOwner {
    /// The key, as people and scripts name it.
    pub key_id: KeyId,
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
    /// Steps that all its payload filters take for each item of a payload; `None` = it has none. Events of tenants with filters are
    /// written apart, since what a filter costs is up to its author.
    pub filter_weight: Option<u64>,
}

/// A key as its owner sees it in a list.
#[derive(Debug, Clone)]
pub struct KeyInfo {
    /// How people and scripts name it.
    pub key_id: KeyId,
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
    /// When it was last used, written down at most once a minute.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// Stores a key of a tenant.
///
/// # Errors
/// When the tenant does not exist, or the database is not available.
pub async fn create(
    connection: &mut Connection,
    tenant_id: &TenantId,
    new: &NewKey<'_>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let scopes: Vec<String> = [(new.may_read, "read"), (new.may_write, "write")]
        .into_iter()
        .filter(|(has, _)| *has)
        .map(|(_, scope)| scope.to_owned())
        .collect();
    sqlx::query!(
        r#"
        INSERT INTO trunkline.api_keys (key_sha256, key_id, tenant_id, name, prefix, scopes, created_at, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        "#,
        new.sha256.as_slice(),
        new.key_id.as_uuid(),
        tenant_id.as_str(),
        new.name,
        new.prefix,
        &scopes,
        now,
        new.expires_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Stores a key of a tenant that has fewer than `live_max` that are neither revoked nor expired. Returns `false`, and
/// stores nothing, if it has as many, or is deleted.
///
/// # Errors
/// When the database is not available.
pub async fn create_within(
    connection: &mut Connection,
    tenant_id: &TenantId,
    new: &NewKey<'_>,
    live_max: i64,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let mut transaction = connection.begin().await?;
    // Two at once would each count without the other's key.
    if !tenants::hold(&mut transaction, tenant_id).await?
        || count_live(&mut transaction, tenant_id, now).await? >= live_max
    {
        return Ok(false);
    }
    create(&mut transaction, tenant_id, new, now).await?;
    transaction.commit().await?;
    Ok(true)
}

async fn count_live(
    connection: &mut Connection,
    tenant_id: &TenantId,
    now: DateTime<Utc>,
) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"
        SELECT count(*) AS "count!"
        FROM trunkline.api_keys
        WHERE tenant_id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)
        "#,
        tenant_id.as_str(),
        now,
    )
    .fetch_one(connection)
    .await?)
}

/// Whose key has this hash. `None` if it is unknown, revoked, expired, or its tenant is deleted.
///
/// # Errors
/// When the database is not available.
pub async fn find_owner(
    connection: &mut Connection,
    sha256: &[u8; 32],
    now: DateTime<Utc>,
) -> Result<Option<KeyOwner>, StoreError> {
    let found = sqlx::query!(
        r#"
        SELECT k.key_id, k.tenant_id, k.scopes, k.expires_at, t.lane, t.status::text AS "status!", t.rate_per_second, t.burst,
               (
                   SELECT sum(coalesce(e.filter_weight, 0))
                   FROM trunkline.endpoints AS e
                   WHERE e.tenant_id = k.tenant_id AND e.payload_filter IS NOT NULL AND e.deleted_at IS NULL
               ) AS filter_weight
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
        key_id: found.key_id.into(),
        lane: row::lane("tenants", found.lane, &found.tenant_id)?,
        tenant_status: TenantStatus::from_row(&found.status, &found.tenant_id)?,
        tenant_id: row::tenant_id("api_keys", found.tenant_id)?,
        may_read: found.scopes.iter().any(|scope| scope == "read"),
        may_write: found.scopes.iter().any(|scope| scope == "write"),
        expires_at: found.expires_at,
        rate_per_second: found.rate_per_second.map(row::unsigned),
        burst: found.burst.map(row::unsigned),
        filter_weight: found.filter_weight.map(|weight| weight.try_into().unwrap_or_default()),
    }))
}

/// Notes that keys were used, those of which the last minute tells nothing yet. Called now and then with many, so that a call of
/// the api costs no write.
///
/// # Errors
/// When the database is not available.
pub async fn touch(
    connection: &mut Connection,
    hashes: &[Vec<u8>],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query!(
        r#"
        WITH quiet AS (
            SELECT key_sha256
            FROM trunkline.api_keys
            WHERE key_sha256 = ANY($1)
              AND (last_used_at IS NULL OR last_used_at <= $2::timestamptz - interval '1 minute')
            -- Another process that holds one is writing the same; in whatever order two write, neither waits.
            FOR NO KEY UPDATE SKIP LOCKED
        )
        UPDATE trunkline.api_keys AS k
        SET last_used_at = $2
        FROM quiet
        WHERE k.key_sha256 = quiet.key_sha256
        "#,
        hashes,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Every key of a tenant, newest first, revoked ones too; at most 1,000.
///
/// # Errors
/// When the database is not available.
pub async fn list(connection: &mut Connection, tenant_id: &TenantId) -> Result<Vec<KeyInfo>, StoreError> {
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

/// A key after its revocation.
#[derive(Debug, Clone)]
pub struct RevokedKey {
    /// The key.
    pub key: KeyInfo,
    /// Its hash, by which caches know it.
    pub sha256: Vec<u8>,
    /// Whether it was revoked before; its time is the first one then.
    pub was_revoked: bool,
}

/// Revokes a key. `None` if the tenant has no such key.
///
/// # Errors
/// When the database is not available.
pub async fn revoke(
    connection: &mut Connection,
    tenant_id: &TenantId,
    key_id: KeyId,
    now: DateTime<Utc>,
) -> Result<Option<RevokedKey>, StoreError> {
    let found = sqlx::query!(
        r#"
        WITH before AS (
            SELECT key_sha256, revoked_at
            FROM trunkline.api_keys
            WHERE tenant_id = $1 AND key_id = $2
            FOR UPDATE
        )
        UPDATE trunkline.api_keys AS k
        SET revoked_at = coalesce(k.revoked_at, $3)
        FROM before AS b
        WHERE k.key_sha256 = b.key_sha256
        RETURNING k.key_id, k.name, k.prefix, k.scopes, k.created_at, k.expires_at, k.revoked_at, k.last_used_at,
                  k.key_sha256, b.revoked_at IS NOT NULL AS "was_revoked!"
        "#,
        tenant_id.as_str(),
        key_id.as_uuid(),
        now,
    )
    .fetch_optional(connection)
    .await?;
    Ok(found.map(|found| RevokedKey {
        key: KeyInfo {
            key_id: found.key_id.into(),
            name: found.name,
            prefix: found.prefix,
            scopes: found.scopes,
            created_at: found.created_at,
            expires_at: found.expires_at,
            revoked_at: found.revoked_at,
            last_used_at: found.last_used_at,
        },
        sha256: found.key_sha256,
        was_revoked: found.was_revoked,
    }))
}

/// Revokes every key of a tenant and returns their hashes, by which caches know them.
///
/// # Errors
/// When the database is not available.
pub async fn revoke_all(
    connection: &mut Connection,
    tenant_id: &TenantId,
    now: DateTime<Utc>,
) -> Result<Vec<Vec<u8>>, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"
        UPDATE trunkline.api_keys
        SET revoked_at = $2
        WHERE tenant_id = $1 AND revoked_at IS NULL
        RETURNING key_sha256
        "#,
        tenant_id.as_str(),
        now,
    )
    .fetch_all(connection)
    .await?)
}
