//! Settings: defaults in code < a TOML file < the environment, parsed once at start into plain types.
//!
//! A setting has a dotted key such as `worker.lease`; its environment variable is
//! `TRUNKLINE__WORKER__LEASE`. What is wrong or unknown is refused, all of it in one answer, by name and
//! with what would have been accepted, and never with the value, which may be a secret.
//!
//! A secret can be in a file of its own, as Kubernetes and Docker mount them: `secrets.keys_file` names the file that holds
//! `secrets.keys`. It is read once, at start.

mod error;
mod keys;
mod load;
mod reader;
mod secret_keys;
mod secret_values;
mod sections;

pub use error::{SettingProblem, SettingsError};
pub use keys::KEYS;
pub use secret_keys::SecretsKey;
pub use sections::{
    AdminSettings, ApiSettings, ClientSettings, DatabaseSettings, DeliverySettings, EgressProxy,
    EgressSettings, IngestSettings, KeptHeaders, LogFormat, LogSettings, OperatorSettings, PartitionSettings,
    Pooler, ReceiverControl, ReceiverSettings, RetentionSettings, SecretsSettings, Signup, TelemetrySettings,
    WorkerSettings,
};

use secrecy::SecretString;
use std::time::Duration;

/// Every setting of every program. A door reads the sections it needs and ignores the rest, so that one
/// file can serve them all.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// `database.*`: where PostgreSQL is.
    pub database: DatabaseSettings,
    /// `api.*`: the door that tenants call.
    pub api: ApiSettings,
    /// `receiver.*`: the reference consumer.
    pub receiver: ReceiverSettings,
    /// `admin.*`: health and metrics.
    pub admin: AdminSettings,
    /// `clients.*`: how api and receiver treat whoever calls them.
    pub clients: ClientSettings,
    /// `operator.*`: keys of those who run the installation.
    pub operator: OperatorSettings,
    /// `secrets.*`: the keys that seal tenants' secrets at rest.
    pub secrets: SecretsSettings,
    /// `egress.*`: where deliveries may go, and by which proxy.
    pub egress: EgressSettings,
    /// `delivery.*`: the schedule and the deadline of attempts.
    pub delivery: DeliverySettings,
    /// `worker.*`: concurrency, leases, polling.
    pub worker: WorkerSettings,
    /// `partitions.*`: how history is cut by time.
    pub partitions: PartitionSettings,
    /// `retention.*`: when history is dropped.
    pub retention: RetentionSettings,
    /// `ingest.*`: sizes and rates that the API accepts.
    pub ingest: IngestSettings,
    /// `signup`: who may create a tenant.
    pub signup: Signup,
    /// `log.*`: what is logged and how it looks.
    pub log: LogSettings,
    /// `telemetry.*`: where traces are sent.
    pub telemetry: TelemetrySettings,
}

impl Settings {
    /// The database's URL, for programs that cannot work without it.
    ///
    /// # Errors
    /// Names the two ways to set it when it is absent.
    pub fn require_database_url(&self) -> Result<&SecretString, SettingsError> {
        self.database.url.as_ref().ok_or_else(|| {
            SettingsError::one(
                "database.url",
                "is required: set TRUNKLINE__DATABASE__URL or DATABASE_URL to postgres://user:password@host/database, or TRUNKLINE__DATABASE__URL_FILE to a file that holds it",
            )
        })
    }

    /// How many connections there may be, for a program that needs some of them at one time.
    ///
    /// # Errors
    /// When there may be fewer than `least`.
    pub fn require_connections(&self, least: u32, why: &str) -> Result<u32, SettingsError> {
        let max = self.database.max_connections;
        if max < least {
            return Err(SettingsError::one(
                "database.max_connections",
                format!("is too small: write {least} or more; {why}"),
            ));
        }
        Ok(max)
    }

    /// The keys that seal secrets, for programs that cannot work without them: the first encrypts, all decrypt.
    ///
    /// # Errors
    /// Says how to make a key when there is none.
    pub fn require_secrets_keys(&self) -> Result<&[SecretsKey], SettingsError> {
        if self.secrets.keys.is_empty() {
            return Err(SettingsError::one(
                "secrets.keys",
                "is required: set TRUNKLINE__SECRETS__KEYS to id:key, where key is what `openssl rand -base64 32` prints, or TRUNKLINE__SECRETS__KEYS_FILE to a file that holds it",
            ));
        }
        Ok(&self.secrets.keys)
    }

    /// The longest timeout an endpoint may ask for itself: an attempt must end before its lease does (3 s
    /// are left to record it) and before a graceful stop gives up on it (2 s are left).
    #[must_use]
    pub fn endpoint_timeout_max(&self) -> Duration {
        let by_lease = self.worker.lease.saturating_sub(sections::LEASE_MARGIN);
        let by_drain = self.worker.drain.saturating_sub(sections::DRAIN_MARGIN);
        by_lease.min(by_drain)
    }
}

#[cfg(test)]
mod tests;
