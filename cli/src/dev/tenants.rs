//! The tenants that a house always has.

use anyhow::Context as _;
use trunkline_domain::{EndpointId, TenantId};
use trunkline_store::tenants::{self, DefaultEndpointChange, Tenant, TenantStatus};
use trunkline_store::{Connection, api_keys, endpoints, time};
use trunkline_vault::{ApiKey, Sealed, Vault};

use super::{Credentials, DevTenant};
use crate::output::Output;
use crate::provision::{KeyWish, create_key, create_tenant, new_secret, seal, stored};

const TENANTS: [&str; 3] = ["test-tenant", "acme", "globex"];

/// How keys made here are named in lists.
const KEY_NAME: &str = "trunkline dev";

/// Makes the tenants, or finds them again: keys and secrets stay what they were, as long as the database knows them.
///
/// # Errors
/// When the database is not available.
pub(super) async fn ensure(
    connection: &mut Connection,
    vault: &Vault,
    credentials: &mut Credentials,
    receiver_url: &str,
    output: Output,
) -> anyhow::Result<Vec<DevTenant>> {
    let mut ready = Vec::with_capacity(TENANTS.len());
    for name in TENANTS {
        let tenant_id: TenantId = name.parse().context("a fixed tenant id")?;
        let url = format!("{receiver_url}/{tenant_id}/webhook");
        let found = tenants::find(connection, &tenant_id).await?;
        let tenant = match found {
            None => Some(make(connection, vault, &tenant_id, &url).await?),
            Some(tenant) => find_again(connection, vault, &tenant, &url, credentials).await?,
        };
        match tenant {
            Some(tenant) => {
                credentials.api_keys.insert(tenant_id, tenant.api_key.clone());
                ready.push(tenant);
            }
            None => {
                output
                    .progress(&format!("tenants: {tenant_id} was deleted in this database and is left out"));
            }
        }
    }
    Ok(ready)
}

async fn make(
    connection: &mut Connection,
    vault: &Vault,
    tenant_id: &TenantId,
    url: &str,
) -> anyhow::Result<DevTenant> {
    let made = create_tenant(connection, vault, tenant_id, url, new_secret()?, KEY_NAME)
        .await?
        .with_context(|| format!("somebody else made {tenant_id} just now; start again"))?;
    Ok(DevTenant {
        tenant_id: tenant_id.to_string(),
        api_key: made.api_key.expose().to_owned(),
        webhook_secret: made.webhook_secret.as_str().to_owned(),
        endpoint_id: made.endpoint_id.to_string(),
    })
}

/// `None` for a tenant that was deleted, or whose endpoint was.
async fn find_again(
    connection: &mut Connection,
    vault: &Vault,
    tenant: &Tenant,
    url: &str,
    credentials: &Credentials,
) -> anyhow::Result<Option<DevTenant>> {
    let (TenantStatus::Active | TenantStatus::Suspended, Some(endpoint_id)) =
        (tenant.status, tenant.default_endpoint_id)
    else {
        return Ok(None);
    };
    let known = credentials.api_keys.get(&tenant.tenant_id).map(String::as_str);
    Ok(Some(DevTenant {
        tenant_id: tenant.tenant_id.to_string(),
        api_key: valid_key(connection, &tenant.tenant_id, known).await?,
        webhook_secret: current_secret(connection, vault, tenant, endpoint_id, url).await?,
        endpoint_id: endpoint_id.to_string(),
    }))
}

/// The key we have, if the database still takes it; else a new one.
async fn valid_key(
    connection: &mut Connection,
    tenant_id: &TenantId,
    known: Option<&str>,
) -> anyhow::Result<String> {
    let now = time::now(connection).await?;
    if let Some(key) = known.and_then(ApiKey::parse) {
        let owner = api_keys::find_owner(connection, &key.hash(), now).await?;
        if owner.is_some_and(|owner| owner.tenant_id == *tenant_id && owner.may_write) {
            return Ok(key.expose().to_owned());
        }
    }
    let wish = KeyWish { name: KEY_NAME, may_read: true, may_write: true, expires_at: None };
    let (key, _) = create_key(connection, tenant_id, &wish).await?;
    Ok(key.expose().to_owned())
}

/// The newest secret, if we can open it; else a new one. Corrects the URL of a receiver that moved to another port.
async fn current_secret(
    connection: &mut Connection,
    vault: &Vault,
    tenant: &Tenant,
    endpoint_id: EndpointId,
    url: &str,
) -> anyhow::Result<String> {
    let now = time::now(connection).await?;
    let tenant_id = &tenant.tenant_id;
    let secrets = endpoints::secrets_of_tenant(connection, tenant_id, now).await?;
    let newest = secrets.into_iter().find(|secret| secret.endpoint_id == endpoint_id).and_then(|secret| {
        let sealed = Sealed { key_id: secret.key_id, bytes: secret.sealed };
        let opened = vault.open_secret(tenant_id, endpoint_id, &sealed).ok()?;
        String::from_utf8(opened.to_vec()).ok()
    });
    let replacement = if newest.is_none() { Some(new_secret()?) } else { None };
    let sealed =
        replacement.as_ref().map(|secret| seal(vault, tenant_id, endpoint_id, secret)).transpose()?;
    let moved =
        tenant.target_url.as_deref().is_some_and(|old| old != url && is_a_local_receiver(old, tenant_id));
    if moved || sealed.is_some() {
        let change = DefaultEndpointChange {
            url: moved.then_some(url),
            secret: sealed.as_ref().map(|sealed| stored(sealed, now)),
            old_secrets_valid_until: None,
        };
        tenants::update_default_endpoint(connection, tenant_id, endpoint_id, &change, now).await?;
    }
    newest
        .or_else(|| replacement.map(|secret| secret.as_str().to_owned()))
        .context("an endpoint has a secret, or gets one")
}

/// Whether a target is that of an earlier run, and not one that a person chose.
fn is_a_local_receiver(target_url: &str, tenant_id: &TenantId) -> bool {
    target_url
        .strip_prefix("http://127.0.0.1:")
        .and_then(|rest| rest.split_once('/'))
        .is_some_and(|(port, path)| port.parse::<u16>().is_ok() && path == format!("{tenant_id}/webhook"))
}

#[cfg(test)]
mod tests {
    use super::is_a_local_receiver;

    #[test]
    fn a_target_that_a_person_chose_is_left_alone() {
        let acme = "acme".parse().unwrap();
        assert!(is_a_local_receiver("http://127.0.0.1:9999/acme/webhook", &acme));
        for chosen in [
            "http://127.0.0.1:9999/",
            "http://127.0.0.1:9999/acme/webhook/mine",
            "http://127.0.0.1:9999/globex/webhook",
            "https://example.com/acme/webhook",
        ] {
            assert!(!is_a_local_receiver(chosen, &acme), "{chosen}");
        }
    }
}
