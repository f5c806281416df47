//! The names of all settings, and how a name is written in the environment.

/// Every setting's dotted key. A test holds that each is read and that none is read besides.
pub const KEYS: &[&str] = &[
    "database.url",
    "database.url_file",
    "database.session_url",
    "database.session_url_file",
    "database.pooler",
    "database.max_connections",
    "api.bind",
    "receiver.bind",
    "receiver.control",
    "receiver.receipt_retention",
    "admin.bind",
    "clients.head_timeout",
    "clients.body_timeout",
    "clients.idle_timeout",
    "clients.trusted_proxies",
    "clients.failed_logins_per_minute",
    "operator.keys",
    "operator.keys_file",
    "secrets.keys",
    "secrets.keys_file",
    "egress.allow",
    "egress.deny",
    "egress.proxy",
    "egress.proxy_resolves",
    "delivery.retry_schedule",
    "delivery.retry_jitter",
    "delivery.timeout",
    "delivery.connect_timeout",
    "delivery.keep_headers",
    "worker.concurrency",
    "worker.endpoint_concurrency",
    "worker.lease",
    "worker.drain",
    "worker.poll_idle",
    "worker.poll_busy",
    "partitions.ahead",
    "partitions.width_days",
    "retention.events",
    "retention.payloads",
    "retention.export",
    "ingest.max_payload_bytes",
    "ingest.rate_per_tenant",
    "ingest.burst_per_tenant",
    "signup",
    "log.format",
    "log.filter",
    "telemetry.otlp_endpoint",
    "telemetry.otlp_headers",
    "telemetry.sampling_ratio",
];

/// What the environment variable of every setting starts with.
pub(super) const PREFIX: &str = "TRUNKLINE__";

/// The setting that names a file with the value of `key`, if there is one: `secrets.keys` -> `secrets.keys_file`. Those that
/// have one are secrets, of which no copy should be left behind.
pub(super) fn file_of(key: &str) -> Option<&'static str> {
    KEYS.iter().copied().find(|other| other.strip_suffix("_file") == Some(key))
}

/// `worker.lease` -> `TRUNKLINE__WORKER__LEASE`.
pub(super) fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_uppercase())
}

/// The setting that an environment variable stands for, if it is one. Names are taken exactly: a
/// variable in lower case is a mistake, not a variant.
pub(super) fn of_variable(name: &str) -> Option<&'static str> {
    KEYS.iter().copied().find(|key| variable(key) == name)
}

/// Known keys to show to someone who wrote `unknown`: those of its section, else all sections.
pub(super) fn near(unknown: &str) -> String {
    let section = unknown.split('.').next().unwrap_or_default();
    let same: Vec<&str> = KEYS.iter().copied().filter(|key| key.split('.').next() == Some(section)).collect();
    if !same.is_empty() {
        return format!("known in this section: {}", same.join(", "));
    }
    let mut sections: Vec<&str> = KEYS.iter().filter_map(|key| key.split('.').next()).collect();
    sections.dedup();
    format!("known sections: {}", sections.join(", "))
}
