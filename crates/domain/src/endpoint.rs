//! What a tenant may say of an endpoint, and what it may not.

mod custom_headers;
mod matching;
mod pace;
mod texts;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use custom_headers::is_custom_header;

/// Names the endpoint that gets what Trunkline has to tell the tenant; no other may have it.
pub const OPERATIONAL_NAME: &str = "operational";

/// What a tenant chooses for an endpoint. `None` stands for the default of the installation, or for no limit.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct EndpointSettings {
    /// 1 to 100 characters, unique among the tenant's endpoints.
    pub name: String,
    /// Checked by the egress policy, which is not this crate's; canonical.
    pub url: String,
    /// What it is for; at most 500 characters.
    pub description: Option<String>,
    /// The owner's own facts: at most 50 keys of 1 to 64 characters, with values of at most 500.
    pub metadata: BTreeMap<String, String>,
    /// 1 to 100 exact types, or prefixes such as `order.*`; `None` = all.
    pub event_types: Option<Vec<String>>,
    /// An SQL/JSON path predicate of at most 1,024 bytes, which PostgreSQL judges; `None` = all.
    pub payload_filter: Option<String>,
    /// Sent with every attempt: at most 20, by names in lower case. The values may be secrets: as a tenant sent them when they are
    /// checked, sealed when they are stored.
    pub custom_headers: BTreeMap<String, String>,
    /// Deadline of one attempt: 1 s up to what leases and drains leave.
    pub timeout: Option<Duration>,
    /// At most 20 waits of 1 s to 7 days; none = one attempt only.
    pub retry_schedule: Option<Vec<Duration>>,
    /// Attempts a second at most, 1 to 10,000.
    pub rate_per_second: Option<u32>,
    /// Attempts at one time at most, 1 to 1,000.
    pub in_flight_max: Option<u32>,
    /// Whether events with the same ordering key wait for each other.
    pub ordering: Ordering,
}

/// Whether events with the same ordering key wait for each other, and what a dead letter does to those behind it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ordering {
    /// They do not wait.
    #[default]
    None,
    /// They wait; after a dead letter the next goes on.
    Skip,
    /// They wait, behind a dead letter until it is retried or put aside.
    Block,
}

impl Ordering {
    /// The word used in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Skip => "skip",
            Self::Block => "block",
        }
    }
}

/// A setting that breaks a rule. It never quotes a value: some are secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {reason}")]
pub struct Refused {
    /// The setting's name in JSON.
    pub field: &'static str,
    /// What would be accepted.
    pub reason: String,
}

impl Refused {
    fn new(field: &'static str, reason: impl Into<String>) -> Self {
        Self { field, reason: reason.into() }
    }
}

impl EndpointSettings {
    /// Holds all settings but the address against the rules; `timeout_max` is what leases and drains leave an attempt.
    ///
    /// # Errors
    /// The first setting that breaks a rule.
    pub fn check(&self, timeout_max: Duration) -> Result<(), Refused> {
        texts::check_name(&self.name)?;
        self.description.as_deref().map_or(Ok(()), texts::check_description)?;
        texts::check_metadata(&self.metadata)?;
        self.event_types.as_deref().map_or(Ok(()), matching::check_event_types)?;
        self.payload_filter.as_deref().map_or(Ok(()), matching::check_payload_filter)?;
        custom_headers::check(&self.custom_headers)?;
        self.timeout.map_or(Ok(()), |timeout| pace::check_timeout(timeout, timeout_max))?;
        self.retry_schedule.as_deref().map_or(Ok(()), pace::check_retry_schedule)?;
        self.rate_per_second.map_or(Ok(()), pace::check_rate)?;
        self.in_flight_max.map_or(Ok(()), pace::check_in_flight)
    }
}

impl fmt::Debug for EndpointSettings {
    /// Names it; values of headers and address may hold secrets and never reach a log.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "EndpointSettings({:?})", self.name)
    }
}
