//! An endpoint made ready to be called: secrets opened, defaults filled in.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use http::{HeaderMap, HeaderName, HeaderValue};
use trunkline_boot::Settings;
use trunkline_domain::endpoint::is_custom_header;
use trunkline_domain::retry::RetryPolicy;
use trunkline_domain::{EndpointId, TenantId};
use trunkline_egress::EgressPolicy;
use trunkline_signing::Secret;
use trunkline_store::endpoints::{Endpoint, SealedSecret};
use trunkline_vault::{Sealed, Vault};

use super::entry::BELIEVED_FOR;
use crate::attempt::{Target, TargetRefused};

/// Everything an attempt needs to know of its endpoint.
pub(crate) struct Callable {
    pub(crate) tenant_id: TenantId,
    pub(crate) endpoint_id: EndpointId,
    pub(crate) url: String,
    /// The URL checked and taken apart, or why it may not be called.
    pub(crate) target: Result<Target, TargetRefused>,
    /// Sent with every attempt, unless we send one of that name; `None` if one cannot be opened, and then nothing is sent.
    pub(crate) custom_headers: Option<HeaderMap>,
    /// Newest first; empty if none can be opened, and then nothing is sent.
    pub(crate) secrets: Vec<Secret>,
    pub(crate) timeout: Duration,
    pub(crate) retry: RetryPolicy,
    pub(crate) in_flight_max: Option<usize>,
    pub(crate) rate_per_second: Option<usize>,
    /// As its last owner left it; this worker's own breaker is in its entry.
    pub(crate) breaker_open_until: Option<DateTime<Utc>>,
    is_open: AtomicBool,
    is_failing: AtomicBool,
    /// Microseconds since 1970; raised by an answer that asks for quiet, before the table knows.
    paused_until: AtomicI64,
    /// When an answer last paused or closed it, in microseconds since 1970.
    told_at: AtomicI64,
}

impl Callable {
    /// Whether its deliveries are attempted at all.
    pub(crate) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Relaxed)
    }

    /// It said that it is gone: nothing more is sent, before the table knows.
    pub(crate) fn close(&self, now: DateTime<Utc>) {
        self.is_open.store(false, Ordering::Relaxed);
        self.told_at.fetch_max(now.timestamp_micros(), Ordering::Relaxed);
    }

    /// Until when it wants to be left alone, if it does.
    pub(crate) fn paused_until(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let until = DateTime::from_timestamp_micros(self.paused_until.load(Ordering::Relaxed));
        until.filter(|until| *until > now)
    }

    pub(crate) fn pause(&self, until: DateTime<Utc>, now: DateTime<Utc>) {
        self.paused_until.fetch_max(until.timestamp_micros(), Ordering::Relaxed);
        self.told_at.fetch_max(now.timestamp_micros(), Ordering::Relaxed);
    }

    /// Goes on with what answers said of the endpoint so lately that the row this was loaded from may not know it yet.
    pub(super) fn remember(&self, earlier: &Self, now: DateTime<Utc>) {
        let told_at = earlier.told_at.load(Ordering::Relaxed);
        let is_late = |at: DateTime<Utc>| (now - at).to_std().is_ok_and(|age| age >= BELIEVED_FOR);
        if DateTime::from_timestamp_micros(told_at).is_none_or(is_late) {
            return;
        }
        self.told_at.store(told_at, Ordering::Relaxed);
        self.paused_until.fetch_max(earlier.paused_until.load(Ordering::Relaxed), Ordering::Relaxed);
        self.is_open.fetch_and(earlier.is_open(), Ordering::Relaxed);
    }

    /// Of an endpoint that asks for nothing special.
    #[cfg(test)]
    pub(super) fn plain(tenant_id: TenantId, endpoint_id: EndpointId) -> Self {
        let url = "http://127.0.0.1/hook".to_owned();
        Self {
            tenant_id,
            endpoint_id,
            target: Target::new(&url, &EgressPolicy::new(Vec::new(), Vec::new())),
            url,
            custom_headers: None,
            secrets: Vec::new(),
            timeout: Duration::from_secs(15),
            retry: RetryPolicy { schedule: vec![Duration::from_secs(5)], jitter: 0.0 },
            in_flight_max: None,
            rate_per_second: None,
            breaker_open_until: None,
            is_open: AtomicBool::new(true),
            is_failing: AtomicBool::new(false),
            paused_until: AtomicI64::new(0),
            told_at: AtomicI64::new(0),
        }
    }

    /// Notes how an attempt ended, and tells whether that is news.
    pub(crate) fn note_failing(&self, failing: bool) -> bool {
        self.is_failing.swap(failing, Ordering::Relaxed) != failing
    }
}

/// A pause by hand ends by hand: endpoints in use are loaded again every second.
const BY_HAND: DateTime<Utc> =
    DateTime::from_timestamp(4_102_444_800, 0).expect("it is an instant of the year 2100");

/// Makes [`Callable`]s of what the store has.
pub(crate) struct CallableFactory {
    vault: Arc<Vault>,
    policy: EgressPolicy,
    timeout: Duration,
    timeout_max: Duration,
    retry: RetryPolicy,
}

impl CallableFactory {
    pub(crate) fn new(settings: &Settings, vault: Arc<Vault>) -> Self {
        let delivery = &settings.delivery;
        Self {
            vault,
            policy: EgressPolicy::new(settings.egress.allow.clone(), settings.egress.deny.clone()),
            timeout: delivery.timeout,
            timeout_max: settings.endpoint_timeout_max(),
            retry: RetryPolicy { schedule: delivery.retry_schedule.clone(), jitter: delivery.retry_jitter },
        }
    }

    pub(crate) fn make(&self, endpoint: Endpoint) -> Callable {
        let secrets =
            endpoint.secrets.iter().filter_map(|sealed| self.open(&endpoint.tenant_id, sealed)).collect();
        let custom_headers =
            self.custom_headers(&endpoint.tenant_id, endpoint.endpoint_id, &endpoint.custom_headers);
        let paused_until = if endpoint.is_paused { Some(BY_HAND) } else { endpoint.paused_until };
        let schedule = endpoint.retry_schedule.unwrap_or_else(|| self.retry.schedule.clone());
        Callable {
            tenant_id: endpoint.tenant_id,
            endpoint_id: endpoint.endpoint_id,
            target: Target::new(&endpoint.url, &self.policy),
            url: endpoint.url,
            custom_headers,
            is_open: AtomicBool::new(endpoint.is_open),
            secrets,
            // The setting was checked against the same bound when it was read.
            timeout: endpoint.timeout.map_or(self.timeout, |own| own.min(self.timeout_max)),
            retry: RetryPolicy { schedule, jitter: self.retry.jitter },
            in_flight_max: endpoint.in_flight_max.map(|max| usize::try_from(max).unwrap_or(usize::MAX)),
            rate_per_second: endpoint.rate_per_second.map(|rate| usize::try_from(rate).unwrap_or(usize::MAX)),
            breaker_open_until: endpoint.breaker_open_until,
            is_failing: AtomicBool::new(endpoint.is_failing),
            paused_until: AtomicI64::new(paused_until.map_or(0, |until| until.timestamp_micros())),
            told_at: AtomicI64::new(0),
        }
    }

    fn open(&self, tenant_id: &TenantId, secret: &SealedSecret) -> Option<Secret> {
        let sealed = Sealed { key_id: secret.key_id.clone(), bytes: secret.sealed.clone() };
        let opened = self.vault.open_secret(tenant_id, secret.endpoint_id, &sealed).ok();
        let opened = opened.and_then(|plain| Secret::from_stored(std::str::from_utf8(&plain).ok()?).ok());
        if opened.is_none() {
            tracing::error!(
                tenant.id = %tenant_id,
                endpoint.id = %secret.endpoint_id,
                key.id = secret.key_id,
                "a signing secret cannot be opened; is its key missing from secrets.keys?"
            );
        }
        opened
    }

    /// Headers as they are sent. They were checked when they were saved; what may not be sent all the same is left out, for
    /// the table can be written by hand, and a forged `transfer-encoding` would change where a request ends.
    fn custom_headers(
        &self,
        tenant_id: &TenantId,
        endpoint_id: EndpointId,
        stored: &[(String, String)],
    ) -> Option<HeaderMap> {
        let mut headers = HeaderMap::with_capacity(stored.len());
        for (name, stored) in stored {
            let value = self.vault.open_header(tenant_id, endpoint_id, name, stored).inspect_err(|error| {
                tracing::error!(
                    tenant.id = %tenant_id,
                    endpoint.id = %endpoint_id,
                    header.name = name,
                    error = %error,
                    "a custom header cannot be opened; is its key missing from secrets.keys?"
                );
            });
            let value = value.ok()?;
            if !is_custom_header(name, &value) {
                continue;
            }
            if let (Ok(name), Ok(mut value)) = (HeaderName::try_from(name), HeaderValue::try_from(&*value)) {
                // It may be a credential.
                value.set_sensitive(true);
                headers.insert(name, value);
            }
        }
        Some(headers)
    }
}
