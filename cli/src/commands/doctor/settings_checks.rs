//! Settings that are accepted and still deserve a look.

use std::net::IpAddr;

use trunkline_boot::Settings;
use trunkline_boot::settings::Signup;

use super::check::{Check, Verdict};

/// Where clouds hand out credentials to whoever asks from inside.
const METADATA: [&str; 3] = ["169.254.169.254", "168.63.129.16", "fd00:ec2::254"];

/// The widest private networks are 10.0.0.0/8 and fc00::/7; a wider one holds the internet.
const PREFIX_MIN_V4: u8 = 8;
const PREFIX_MIN_V6: u8 = 7;

pub(super) fn all(settings: &Settings) -> Vec<Check> {
    vec![
        Check::ok("settings", "understood"),
        secrets_keys(settings),
        operator_keys(settings),
        egress(settings),
        egress_proxy(settings),
        signup(settings),
        without_effect(settings),
        export(settings),
    ]
}

fn secrets_keys(settings: &Settings) -> Check {
    match settings.secrets.keys.as_slice() {
        [] => Check::fail(
            "secrets.keys",
            "none: api, worker and receiver refuse to start",
            "set TRUNKLINE__SECRETS__KEYS to id:key, where key is what `openssl rand -base64 32` prints",
        ),
        keys => {
            let ids: Vec<&str> = keys.iter().map(|key| key.id.as_str()).collect();
            Check::ok("secrets.keys", format!("{} (the first seals)", ids.join(", ")))
        }
    }
}

fn operator_keys(settings: &Settings) -> Check {
    let count = settings.operator.keys.len();
    Check::when(
        count > 0,
        Verdict::Warn,
        "operator.keys",
        format!("{count} set"),
        "without one nobody can create tenants over REST; `trunkline tenant create` works all the same",
    )
}

fn egress(settings: &Settings) -> Check {
    let allow = &settings.egress.allow;
    let shown: Vec<String> = allow.iter().map(ToString::to_string).collect();
    let seen = if shown.is_empty() { "no private network".to_owned() } else { shown.join(", ") };
    let metadata = METADATA.iter().filter_map(|text| text.parse::<IpAddr>().ok());
    if metadata.into_iter().any(|address| allow.iter().any(|network| network.contains(&address))) {
        let advice = "this lets tenants reach the cloud's metadata service, and its credentials; allow narrower networks";
        return Check::fail("egress.allow", seen, advice);
    }
    let prefix_min = |is_v4| if is_v4 { PREFIX_MIN_V4 } else { PREFIX_MIN_V6 };
    if allow.iter().any(|network| network.prefix_len() < prefix_min(network.addr().is_ipv4())) {
        return Check::warn("egress.allow", seen, "very wide: allow only the networks where endpoints are");
    }
    let loopback = allow.iter().any(|network| network.addr().is_loopback());
    Check::when(
        !loopback,
        Verdict::Warn,
        "egress.allow",
        seen,
        "tenants can reach services on the worker's own machine; right for a laptop, wrong in production",
    )
}

fn egress_proxy(settings: &Settings) -> Check {
    let Some(proxy) = &settings.egress.proxy else {
        return Check::ok("egress.proxy", "none; deliveries go straight to their endpoints");
    };
    let seen = format!("{} port {}", proxy.host, proxy.port);
    Check::when(
        !settings.egress.proxy_resolves,
        Verdict::Warn,
        "egress.proxy",
        seen,
        "it resolves names itself (egress.proxy_resolves): it must refuse those of private addresses, since nothing here does",
    )
}

fn signup(settings: &Settings) -> Check {
    Check::when(
        settings.signup == Signup::Operator,
        Verdict::Warn,
        "signup",
        format!("{:?}", settings.signup).to_lowercase(),
        "anyone who reaches the api can create a tenant; for demonstrations only",
    )
}

/// What is written and changes nothing is mostly a misunderstanding.
fn without_effect(settings: &Settings) -> Check {
    use secrecy::ExposeSecret;

    let url = settings.database.url.as_ref().map(ExposeSecret::expose_secret);
    let session_url = settings.database.session_url.as_ref().map(ExposeSecret::expose_secret);
    let useless = [
        (session_url.is_some() && session_url == url, "database.session_url (the same as database.url)"),
        (
            settings.worker.endpoint_concurrency >= settings.worker.concurrency,
            "worker.endpoint_concurrency (no smaller than worker.concurrency)",
        ),
        (
            settings.worker.poll_busy > settings.worker.poll_idle,
            "worker.poll_busy (longer than worker.poll_idle)",
        ),
    ];
    let found: Vec<&str> =
        useless.iter().filter(|(is_useless, _)| *is_useless).map(|(_, name)| *name).collect();
    Check::when(
        found.is_empty(),
        Verdict::Warn,
        "settings used",
        if found.is_empty() { "each does something".to_owned() } else { found.join("; ") },
        "these change nothing as they stand: remove them, or write what was meant",
    )
}

fn export(settings: &Settings) -> Check {
    let Some(folder) = &settings.retention.export else {
        return Check::ok("retention.export", "nothing is exported before it is dropped");
    };
    Check::when(
        folder.is_dir(),
        Verdict::Warn,
        "retention.export",
        folder.display().to_string(),
        "there is no such folder on this machine; where it is missing, a worker drops nothing",
    )
}
