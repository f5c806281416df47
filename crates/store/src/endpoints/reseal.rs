//! What is sealed under which key, and sealing again what is not under the key that seals now.
//!
//! The caller opens and seals; here rows are locked, handed out, and written back in one transaction. Rows that somebody
//! holds are passed over, so two who do this at one time share the work, and a door that rotates a secret waits for nobody.

use trunkline_domain::{EndpointId, TenantId};
use uuid::Uuid;

use super::SealedSecret;
use crate::{Connection, StoreError, row};

/// How much is sealed under one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUse {
    /// The key's id; `None`: values of headers that were never sealed.
    pub key_id: Option<String>,
    /// Signing secrets.
    pub secrets: i64,
    /// Values of custom headers.
    pub header_values: i64,
}

/// Where a walk over all secrets has come to: the last one that was handed out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecretPlace(String, Uuid, Uuid);

/// A secret under another key than the one that seals now.
#[derive(Debug, Clone)]
pub struct StaleSecret {
    /// Whose it is; part of what it is bound to.
    pub tenant_id: TenantId,
    /// The rest of what it is bound to, and how it is sealed.
    pub sealed: SealedSecret,
    secret_id: Uuid,
}

impl StaleSecret {
    /// Where the walk goes on behind it.
    pub fn place(&self) -> SecretPlace {
        SecretPlace(self.tenant_id.to_string(), self.sealed.endpoint_id.as_uuid(), self.secret_id)
    }
}

/// Where a walk over all endpoints has come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndpointPlace(String, Uuid);

/// An endpoint of which a header's value is not under the key that seals now.
#[derive(Debug, Clone)]
pub struct StaleHeaders {
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Which it is.
    pub endpoint_id: EndpointId,
    /// All its headers: names and values as they are stored.
    pub headers: Vec<(String, String)>,
}

impl StaleHeaders {
    /// Where the walk goes on behind it.
    pub fn place(&self) -> EndpointPlace {
        EndpointPlace(self.tenant_id.to_string(), self.endpoint_id.as_uuid())
    }
}

/// Counts what is sealed under each key, in the order of their ids.
///
/// # Errors
/// When the database is not available.
pub async fn count_by_key(connection: &mut Connection) -> Result<Vec<KeyUse>, StoreError> {
    Ok(sqlx::query_as!(
        KeyUse,
        r#"
        WITH sealed AS (
            SELECT key_id, 1 AS secrets, 0 AS header_values
            FROM trunkline.endpoint_secrets
            UNION ALL
            SELECT CASE WHEN starts_with(h.value, 'sealed:') THEN split_part(h.value, ':', 2) END, 0, 1
            FROM trunkline.endpoints AS e
            CROSS JOIN LATERAL jsonb_each_text(e.custom_headers) AS h
            WHERE e.deleted_at IS NULL AND e.custom_headers <> '{}'
        )
        SELECT key_id, sum(secrets)::bigint AS "secrets!", sum(header_values)::bigint AS "header_values!"
        FROM sealed
        GROUP BY key_id
        ORDER BY key_id NULLS LAST
        "#,
    )
    .fetch_all(connection)
    .await?)
}

/// Locks up to `limit` secrets behind `after` that are under another key than `sealing_key_id`, and returns them in order.
///
/// # Errors
/// When the database is not available.
pub async fn lock_stale_secrets(
    transaction: &mut Connection,
    sealing_key_id: &str,
    after: &SecretPlace,
    limit: i64,
) -> Result<Vec<StaleSecret>, StoreError> {
    let rows = sqlx::query!(
        r#"
        SELECT tenant_id, endpoint_id, secret_id, key_id, sealed
        FROM trunkline.endpoint_secrets
        WHERE (tenant_id, endpoint_id, secret_id) > ($2, $3, $4) AND key_id <> $1
        ORDER BY tenant_id, endpoint_id, secret_id
        LIMIT $5
        FOR NO KEY UPDATE SKIP LOCKED
        "#,
        sealing_key_id,
        after.0,
        after.1,
        after.2,
        limit,
    )
    .fetch_all(transaction)
    .await?;
    rows.into_iter()
        .map(|found| {
            Ok(StaleSecret {
                tenant_id: row::tenant_id("endpoint_secrets", found.tenant_id)?,
                secret_id: found.secret_id,
                sealed: SealedSecret {
                    endpoint_id: EndpointId::from(found.endpoint_id),
                    key_id: found.key_id,
                    sealed: found.sealed,
                },
            })
        })
        .collect()
}

/// Writes secrets back, each with the bytes it has under `key_id`, in the transaction that locked them.
///
/// # Errors
/// When the database is not available.
pub async fn replace_secrets(
    transaction: &mut Connection,
    key_id: &str,
    resealed: &[(StaleSecret, Vec<u8>)],
) -> Result<(), StoreError> {
    let tenants: Vec<String> = resealed.iter().map(|(secret, _)| secret.tenant_id.to_string()).collect();
    let endpoints: Vec<Uuid> =
        resealed.iter().map(|(secret, _)| secret.sealed.endpoint_id.as_uuid()).collect();
    let secrets: Vec<Uuid> = resealed.iter().map(|(secret, _)| secret.secret_id).collect();
    let sealed: Vec<Vec<u8>> = resealed.iter().map(|(_, sealed)| sealed.clone()).collect();
    sqlx::query!(
        r#"
        UPDATE trunkline.endpoint_secrets AS s
        SET key_id = $1, sealed = r.sealed
        FROM unnest($2::text[], $3::uuid[], $4::uuid[], $5::bytea[]) AS r (tenant_id, endpoint_id, secret_id, sealed)
        WHERE s.tenant_id = r.tenant_id AND s.endpoint_id = r.endpoint_id AND s.secret_id = r.secret_id
        "#,
        key_id,
        &tenants,
        &endpoints,
        &secrets,
        &sealed,
    )
    .execute(transaction)
    .await?;
    Ok(())
}

/// Locks up to `limit` endpoints behind `after` of which a header's value is not under `sealing_key_id`, and returns them in
/// order.
///
/// # Errors
/// When the database is not available.
pub async fn lock_stale_headers(
    transaction: &mut Connection,
    sealing_key_id: &str,
    after: &EndpointPlace,
    limit: i64,
) -> Result<Vec<StaleHeaders>, StoreError> {
    let rows = sqlx::query!(
        r#"
        SELECT e.tenant_id, e.endpoint_id,
               ARRAY(SELECT key FROM jsonb_each_text(e.custom_headers) ORDER BY key) AS "names!",
               ARRAY(SELECT value FROM jsonb_each_text(e.custom_headers) ORDER BY key) AS "contents!"
        FROM trunkline.endpoints AS e
        WHERE (e.tenant_id, e.endpoint_id) > ($2, $3) AND e.deleted_at IS NULL AND e.custom_headers <> '{}'
          AND EXISTS (
              SELECT FROM jsonb_each_text(e.custom_headers) AS h
              WHERE NOT starts_with(h.value, 'sealed:' || $1 || ':')
          )
        ORDER BY e.tenant_id, e.endpoint_id
        LIMIT $4
        FOR NO KEY UPDATE OF e SKIP LOCKED
        "#,
        sealing_key_id,
        after.0,
        after.1,
        limit,
    )
    .fetch_all(transaction)
    .await?;
    rows.into_iter()
        .map(|found| {
            Ok(StaleHeaders {
                tenant_id: row::tenant_id("endpoints", found.tenant_id)?,
                endpoint_id: EndpointId::from(found.endpoint_id),
                headers: found.names.into_iter().zip(found.contents).collect(),
            })
        })
        .collect()
}

/// Writes headers back in the transaction that locked their endpoints. Nobody changed them, so `updated_at` stays.
///
/// # Errors
/// When the database is not available.
pub async fn replace_headers(
    transaction: &mut Connection,
    resealed: &[StaleHeaders],
) -> Result<(), StoreError> {
    let headers: Vec<_> = resealed
        .iter()
        .flat_map(|endpoint| endpoint.headers.iter().map(move |(name, value)| (endpoint, name, value)))
        .collect();
    let tenants: Vec<String> = headers.iter().map(|(endpoint, ..)| endpoint.tenant_id.to_string()).collect();
    let endpoints: Vec<Uuid> = headers.iter().map(|(endpoint, ..)| endpoint.endpoint_id.as_uuid()).collect();
    let names: Vec<String> = headers.iter().map(|(_, name, _)| (*name).clone()).collect();
    let contents: Vec<String> = headers.iter().map(|(.., value)| (*value).clone()).collect();
    sqlx::query!(
        r#"
        UPDATE trunkline.endpoints AS e
        SET custom_headers = r.headers
        FROM (
            SELECT tenant_id, endpoint_id, jsonb_object_agg(name, content) AS headers
            FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[]) AS h (tenant_id, endpoint_id, name, content)
            GROUP BY tenant_id, endpoint_id
        ) AS r
        WHERE e.tenant_id = r.tenant_id AND e.endpoint_id = r.endpoint_id
        "#,
        &tenants,
        &endpoints,
        &names,
        &contents,
    )
    .execute(transaction)
    .await?;
    Ok(())
}
