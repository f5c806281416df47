//! What `dev` sets differently from the doors' own programs.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use trunkline_boot::Settings;
use trunkline_boot::settings::ReceiverControl;

use super::{Credentials, ports};
use crate::commands::dev::Options;

/// Ctrl-C ends within a few seconds even while an endpoint hangs: its attempt is given back and does not count.
const DRAIN: Duration = Duration::from_secs(3);

/// Completes the settings of the environment: loopback only, keys of our own where none are set, an open switch.
///
/// # Errors
/// The stored keys are damaged.
pub(super) fn complete(
    settings: &mut Settings,
    options: &Options,
    credentials: &Credentials,
) -> anyhow::Result<()> {
    settings.api.bind = ports::loopback(options.api_port);
    settings.receiver.bind = ports::loopback(options.receiver_port);
    settings.admin.bind = ports::loopback(options.admin_port);
    settings.receiver.control = ReceiverControl::Open;
    allow_loopback(settings);
    if settings.secrets.keys.is_empty() {
        settings.secrets.keys = vec![credentials.secrets_key()?];
    }
    if settings.operator.keys.is_empty() {
        settings.operator.keys = vec![SecretString::from(credentials.operator_key.as_str())];
    }
    Ok(())
}

/// The worker's own: the api must not hold endpoints to what so short a drain leaves for an attempt.
pub(super) fn for_worker(settings: &Settings) -> Settings {
    let mut settings = settings.clone();
    settings.worker.drain = DRAIN;
    settings
}

/// Endpoints of a house on this machine are there too, unless the settings name others that may be.
pub(crate) fn allow_loopback(settings: &mut Settings) {
    if settings.egress.allow.is_empty() {
        settings.egress.allow = ["127.0.0.0/8", "::1/128"]
            .iter()
            .map(|network| network.parse().expect("loopback is a network"))
            .collect();
    }
}

/// The operator key to show; there is one after [`complete`].
pub(super) fn first_operator_key(settings: &Settings) -> String {
    settings.operator.keys.first().map(exposed).unwrap_or_default()
}

/// A secret for its owner's own file.
pub(super) fn exposed(secret: &SecretString) -> String {
    secret.expose_secret().to_owned()
}
