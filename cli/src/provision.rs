//! Makes tenants and keys, straight in the database.

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use trunkline_api::saving;
use trunkline_boot::random::random_bytes;
use trunkline_domain::{EndpointId, EndpointSettings, KeyId, TenantId};
use trunkline_store::api_keys::{self, NewKey};
use trunkline_store::endpoints::{self, Added, NewEndpoint, NewSecret};
use trunkline_store::tenants::{self, NewTenant};
use trunkline_store::{Connection, time};
use trunkline_vault::{ApiKey, Sealed, Vault};
use zeroize::Zeroizing;

/// A tenant just made, with what is shown only now.
pub(crate) struct NewlyMade {
    /// With both scopes.
    pub(crate) api_key: ApiKey,
    /// What deliveries are signed with.
    pub(crate) webhook_secret: Zeroizing<String>,
    /// Its endpoint `default`.
    pub(crate) endpoint_id: EndpointId,
}

/// What a new key is for, and what it may do.
pub(crate) struct KeyWish<'a> {
    /// Its name in lists, 1 to 100 characters.
    pub(crate) name: &'a str,
    /// Whether it may look.
    pub(crate) may_read: bool,
    /// Whether it may publish and change things.
    pub(crate) may_write: bool,
    /// From when on it is refused.
    pub(crate) expires_at: Option<DateTime<Utc>>,
}

impl KeyWish<'_> {
    /// As lists show them.
    pub(crate) fn scopes(&self) -> Vec<&'static str> {
        let scopes = [("read", self.may_read), ("write", self.may_write)];
        scopes.into_iter().filter_map(|(scope, is_given)| is_given.then_some(scope)).collect()
    }
}

/// Creates a tenant with its endpoint `default`, a secret and a key. `None` if the id was ever given before.
///
/// # Errors
/// When the database is not available.
pub(crate) async fn create_tenant(
    connection: &mut Connection,
    vault: &Vault,
    tenant_id: &TenantId,
    url: &str,
    webhook_secret: Zeroizing<String>,
    key_name: &str,
) -> anyhow::Result<Option<NewlyMade>> {
    let now = time::now(connection).await?;
    let endpoint_id = EndpointId::mint(now, random());
    let sealed = seal(vault, tenant_id, endpoint_id, &webhook_secret)?;
    let api_key = ApiKey::from_random(random_bytes());
    let wish = KeyWish { name: key_name, may_read: true, may_write: true, expires_at: None };
    let new = NewTenant {
        tenant_id,
        endpoint_id,
        url,
        secret: stored(&sealed, now),
        key: key_row(&api_key, &wish, now),
        created_at: now,
    };
    let created = tenants::create(connection, &new).await?;
    Ok(created.then_some(NewlyMade { api_key, webhook_secret, endpoint_id }))
}

/// Adds an endpoint with a secret of its own to a tenant; answers what came of it, its id and the secret.
///
/// # Errors
/// When the database is not available.
pub(crate) async fn create_endpoint(
    connection: &mut Connection,
    vault: &Vault,
    tenant_id: &TenantId,
    settings: &EndpointSettings,
) -> anyhow::Result<(Added, EndpointId, Zeroizing<String>)> {
    let now = time::now(connection).await?;
    let endpoint_id = EndpointId::mint(now, random());
    let webhook_secret = new_secret()?;
    let sealed = seal(vault, tenant_id, endpoint_id, &webhook_secret)?;
    let secret = stored(&sealed, now);
    let (name, url) = (settings.name.as_str(), settings.url.as_str());
    let new = NewEndpoint { tenant_id, endpoint_id, name, url, secret, created_at: now };
    let added = endpoints::add(connection, &new, settings, false).await?;
    Ok((added, endpoint_id, webhook_secret))
}

/// Creates one more key for a tenant that exists; answers it with its id.
///
/// # Errors
/// When the database is not available.
pub(crate) async fn create_key(
    connection: &mut Connection,
    tenant_id: &TenantId,
    wish: &KeyWish<'_>,
) -> anyhow::Result<(ApiKey, KeyId)> {
    let now = time::now(connection).await?;
    let api_key = ApiKey::from_random(random_bytes());
    let row = key_row(&api_key, wish, now);
    let key_id = row.key_id;
    api_keys::create(connection, tenant_id, &row, now).await?;
    Ok((api_key, key_id))
}

/// Seals a secret for one endpoint.
///
/// # Errors
/// The secret is too long to be one.
pub(crate) fn seal(
    vault: &Vault,
    tenant_id: &TenantId,
    endpoint_id: EndpointId,
    secret: &str,
) -> anyhow::Result<Sealed> {
    vault
        .seal_secret(tenant_id, endpoint_id, secret.as_bytes(), random_bytes())
        .context("the webhook secret cannot be sealed")
}

/// A sealed secret as a row to be stored, the newest of its endpoint.
pub(crate) fn stored(sealed: &Sealed, now: DateTime<Utc>) -> NewSecret<'_> {
    NewSecret {
        secret_id: EndpointId::mint(now, random()).as_uuid(),
        key_id: &sealed.key_id,
        sealed: &sealed.bytes,
    }
}

/// A new webhook secret.
///
/// # Errors
/// None: only a chosen one can be refused.
pub(crate) fn new_secret() -> anyhow::Result<Zeroizing<String>> {
    saving::webhook_secret(None).map_err(anyhow::Error::msg)
}

fn key_row<'a>(key: &'a ApiKey, wish: &KeyWish<'a>, now: DateTime<Utc>) -> NewKey<'a> {
    NewKey {
        sha256: key.hash(),
        key_id: KeyId::mint(now, random()),
        name: wish.name,
        prefix: key.shown_prefix(),
        may_read: wish.may_read,
        may_write: wish.may_write,
        expires_at: wish.expires_at,
    }
}

fn random() -> u64 {
    u64::from_ne_bytes(random_bytes())
}
