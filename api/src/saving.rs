//! The rules for what is saved, for whoever saves it past the routes: the command line, straight on the database.

use chrono::Duration;
use secrecy::zeroize::Zeroizing;
use trunkline_boot::Settings;
use trunkline_boot::random::random_bytes;
use trunkline_domain::endpoint::OPERATIONAL_NAME;
use trunkline_domain::{EndpointSettings, TenantId};
use trunkline_egress::EgressPolicy;
use trunkline_signing::Secret;

/// How long an old secret signs beside the one that replaced it, so that receivers can be changed in between.
pub const ROTATION_OVERLAP: Duration = Duration::hours(24);

/// Stands for one's own tenant in `/v1/tenants/current`.
const CURRENT: &str = "current";

/// What a name is refused with that is not the endpoint's to have.
pub(crate) const OPERATIONAL_ONLY: &str = "The name operational is that of the endpoint at /v1/tenants/current/operational-endpoint, and of no other.";

/// Which addresses may be saved, by the settings.
pub(crate) fn policy(settings: &Settings) -> EgressPolicy {
    EgressPolicy::new(settings.egress.allow.clone(), settings.egress.deny.clone())
}

/// Whether a new tenant may be named so.
///
/// # Errors
/// Why not, as a sentence.
pub fn new_tenant(tenant_id: &TenantId) -> Result<(), String> {
    if tenant_id.as_str() == CURRENT {
        return Err("The tenant_id current stands for one's own tenant in paths; choose another.".to_owned());
    }
    Ok(())
}

/// An address as it is kept: canonical, and one that may be called as far as its text tells.
///
/// # Errors
/// What is wrong with it, without repeating it.
pub fn target_url(settings: &Settings, text: &str) -> Result<String, String> {
    let url = policy(settings).check_url(text).map_err(|refused| refused.to_string())?;
    Ok(url.as_str().to_owned())
}

/// The settings of a new endpoint that has a name and an address only.
///
/// # Errors
/// What is wrong with one of them.
pub fn new_endpoint(settings: &Settings, name: &str, url: &str) -> Result<EndpointSettings, String> {
    let endpoint = EndpointSettings {
        name: name.to_owned(),
        url: target_url(settings, url)?,
        ..EndpointSettings::default()
    };
    if name == OPERATIONAL_NAME {
        return Err(OPERATIONAL_ONLY.to_owned());
    }
    endpoint.check(settings.worker.attempt_timeout_max()).map_err(|refused| refused.to_string())?;
    Ok(endpoint)
}

/// A webhook secret: the one that was chosen, or a new one.
///
/// # Errors
/// What would be accepted; never what was given.
pub fn webhook_secret(chosen: Option<&str>) -> Result<Zeroizing<String>, String> {
    let secret = match chosen {
        Some(text) => Secret::parse(text).map_err(|refused| refused.to_string())?,
        None => Secret::generate(random_bytes()),
    };
    Ok(Zeroizing::new(secret.expose().to_owned()))
}
