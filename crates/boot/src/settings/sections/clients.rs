use super::super::reader::Reader;
use super::{minutes, seconds};
use ipnet::IpNet;
use std::ops::RangeInclusive;
use std::time::Duration;

/// `clients.*`: how api and receiver treat whoever calls them.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// How long the head of a request may take.
    pub head_timeout: Duration,
    /// How long its body may take.
    pub body_timeout: Duration,
    /// How long a connection may be idle between two requests.
    pub idle_timeout: Duration,
    /// The load balancers whose `X-Forwarded-For` is believed. Empty: whoever connects is the client.
    pub trusted_proxies: Vec<IpNet>,
    /// Failed logins of one address in a minute, beyond which it is answered 429; 0 = no limit.
    pub failed_logins_per_minute: u32,
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self {
            head_timeout: seconds(10),
            body_timeout: seconds(30),
            idle_timeout: seconds(60),
            trusted_proxies: Vec::new(),
            failed_logins_per_minute: 20,
        }
    }
}

const TIMEOUT: RangeInclusive<Duration> = seconds(1)..=minutes(10);
const FAILED_LOGINS_MAX: u32 = 1_000_000;

impl ClientSettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let default = Self::default();
        let networks = "accepts networks such as 10.1.0.0/16 or fd00::/8";
        Self {
            head_timeout: reader.duration("clients.head_timeout", default.head_timeout, TIMEOUT),
            body_timeout: reader.duration("clients.body_timeout", default.body_timeout, TIMEOUT),
            idle_timeout: reader.duration("clients.idle_timeout", default.idle_timeout, TIMEOUT),
            trusted_proxies: reader.list(
                "clients.trusted_proxies",
                default.trusted_proxies,
                networks,
                |entry| entry.parse().map_err(|_| "is none"),
            ),
            failed_logins_per_minute: reader.number(
                "clients.failed_logins_per_minute",
                default.failed_logins_per_minute,
                0..=FAILED_LOGINS_MAX,
                "a number of failed logins (0 = no limit)",
            ),
        }
    }
}
