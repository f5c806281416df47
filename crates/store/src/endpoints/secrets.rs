use chrono::{DateTime, Utc};
use trunkline_domain::{EndpointId, TenantId};
use uuid::Uuid;

use crate::wake::note_changed;
use crate::{Connection, StoreError};

/// A secret about to be stored, already sealed.
#[derive(Debug, Clone, Copy)]
pub struct NewSecret<'a> {
    /// UUID version 7.
    pub secret_id: Uuid,
    /// Which key sealed it.
    pub key_id: &'a str,
    /// Nonce and ciphertext.
    pub sealed: &'a [u8],
}

/// A stored secret, still sealed for the endpoint it belongs to.
#[derive(Debug, Clone)]
pub struct SealedSecret {
    /// Part of what it is bound to.
    pub endpoint_id: EndpointId,
    /// Which key sealed it.
    pub key_id: String,
    /// Nonce and ciphertext.
    pub sealed: Vec<u8>,
}

/// Adds a secret to an endpoint.
///
/// # Errors
/// When the endpoint does not exist, or the database is not available.
pub async fn add_secret(
    connection: &mut Connection,
    tenant_id: &TenantId,
    endpoint_id: EndpointId,
    secret: &NewSecret<'_>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query!(
        r#"
        INSERT INTO trunkline.endpoint_secrets (tenant_id, endpoint_id, secret_id, key_id, sealed, created_at)
        VALUES ($1, $2, $3, $4, $5, $6)
        "#,
        tenant_id.as_str(),
        endpoint_id.as_uuid(),
        secret.secret_id,
        secret.key_id,
        secret.sealed,
        now,
    )
    .execute(&mut *connection)
    .await?;
    note_changed(connection, tenant_id).await
}

/// Lets an endpoint's current secrets run out at `until`; those that run out sooner keep their end. At most the five
/// newest old secrets are kept.
///
/// # Errors
/// When the database is not available.
pub async fn retire_secrets(
    connection: &mut Connection,
    tenant_id: &TenantId,
    endpoint_id: EndpointId,
    until: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query!(
        r#"
        UPDATE trunkline.endpoint_secrets
        SET valid_until = $3
        WHERE tenant_id = $1 AND endpoint_id = $2 AND (valid_until IS NULL OR valid_until > $3)
        "#,
        tenant_id.as_str(),
        endpoint_id.as_uuid(),
        until,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        r#"
        DELETE FROM trunkline.endpoint_secrets
        WHERE tenant_id = $1 AND endpoint_id = $2
          AND secret_id NOT IN (
              SELECT secret_id
              FROM trunkline.endpoint_secrets
              WHERE tenant_id = $1 AND endpoint_id = $2
              ORDER BY secret_id DESC
              LIMIT 5
          )
        "#,
        tenant_id.as_str(),
        endpoint_id.as_uuid(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The secrets that are valid now for the endpoints of a tenant, 1,000 at most: what a receiver may be signed with. Those of endpoints
/// whose URL looks like the receiver's come first, since of a tenant with more secrets than that it can only be signed with these.
///
/// # Errors
/// When the database is not available.
pub async fn secrets_of_tenant(
    connection: &mut Connection,
    tenant_id: &TenantId,
    now: DateTime<Utc>,
) -> Result<Vec<SealedSecret>, StoreError> {
    let rows = sqlx::query!(
        r#"
        SELECT s.endpoint_id, s.key_id, s.sealed
        FROM trunkline.endpoint_secrets AS s
        JOIN trunkline.endpoints AS e USING (tenant_id, endpoint_id)
        WHERE s.tenant_id = $1 AND e.deleted_at IS NULL AND (s.valid_until IS NULL OR s.valid_until > $2)
        ORDER BY strpos(e.url, '/' || s.tenant_id || '/webhook') > 0 DESC, s.secret_id DESC
        LIMIT 1000
        "#,
        tenant_id.as_str(),
        now,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|found| SealedSecret {
            endpoint_id: EndpointId::from(found.endpoint_id),
            key_id: found.key_id,
            sealed: found.sealed,
        })
        .collect())
}
