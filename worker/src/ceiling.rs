//! Deliveries without a database: the path from a claim to its verdict by itself, so that it can be measured.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use rustls::RootCertStore;
use trunkline_boot::random::random_bytes;
use trunkline_boot::{Clock, Settings};
use trunkline_domain::{EndpointId, EventId, Lane, TenantId};
use trunkline_signing::Secret;
use trunkline_store::deliveries::{Claimed, DeliveryKey, EndedAttempt, Lease};
use trunkline_store::endpoints::{Endpoint, SealedSecret};
use trunkline_vault::Vault;

use crate::attempt::{self, Sender, SenderError};
use crate::roster::{Callable, CallableFactory};

/// Longer than any attempt.
const LEASE: Duration = Duration::from_secs(3_600);

/// One endpoint, and a delivery for it that can be made again and again.
pub struct Ceiling {
    sender: Sender,
    clock: Clock,
    callable: Arc<Callable>,
    claimed: Claimed,
}

impl Ceiling {
    /// An endpoint at `url`, which may be on loopback, with a fresh secret; and a JSON object of about `payload_bytes`
    /// bytes. `concurrency` deliveries can be made at one time.
    ///
    /// # Errors
    /// When the HTTP client cannot be set up.
    pub fn new(url: &str, payload_bytes: usize, concurrency: usize) -> anyhow::Result<Self> {
        let concurrent = |settings: &mut Settings| settings.worker.endpoint_concurrency = concurrency;
        Self::with(url, payload_bytes, concurrent, Sender::new)
    }

    /// The same under other settings.
    ///
    /// # Errors
    /// When the HTTP client cannot be set up.
    pub fn under(
        url: &str,
        payload_bytes: usize,
        change: impl FnOnce(&mut Settings),
    ) -> anyhow::Result<Self> {
        Self::with(url, payload_bytes, change, Sender::new)
    }

    /// The same with a client that trusts certificates under `roots` only, as no worker outside a test does.
    ///
    /// # Errors
    /// When the HTTP client cannot be set up.
    pub fn trusting(
        url: &str,
        roots: RootCertStore,
        change: impl FnOnce(&mut Settings),
    ) -> anyhow::Result<Self> {
        Self::with(url, 0, change, |settings| Sender::trusting(settings, roots))
    }

    fn with(
        url: &str,
        payload_bytes: usize,
        change: impl FnOnce(&mut Settings),
        sender: impl FnOnce(&Settings) -> Result<Sender, SenderError>,
    ) -> anyhow::Result<Self> {
        let mut settings = Settings::default();
        settings.egress.allow = vec!["127.0.0.0/8".parse()?, "::1/128".parse()?];
        change(&mut settings);
        let clock = Clock::new();
        let lane = Lane::new(0).context("there is a lane 0")?;
        let tenant_id: TenantId = "ceiling".parse()?;
        let endpoint_id = EndpointId::mint(clock.now(), u64::from_ne_bytes(random_bytes()));
        let vault = Arc::new(Vault::new([("ceiling", &random_bytes())])?);
        let secret = Secret::generate(random_bytes());
        let text = secret.expose().as_bytes();
        let sealed = vault.seal_secret(&tenant_id, endpoint_id, text, random_bytes())?;
        let endpoint = Endpoint {
            tenant_id: tenant_id.clone(),
            endpoint_id,
            url: url.to_owned(),
            is_open: true,
            is_paused: false,
            paused_until: None,
            custom_headers: Vec::new(),
            is_failing: false,
            breaker_open_until: None,
            timeout: None,
            retry_schedule: None,
            in_flight_max: None,
            rate_per_second: None,
            secrets: vec![SealedSecret { endpoint_id, key_id: sealed.key_id, sealed: sealed.bytes }],
        };
        let claimed = Claimed {
            key: DeliveryKey { lane, tenant_id, event_id: fresh_event(&clock), endpoint_id },
            lease: Lease(0),
            due_at: chrono::DateTime::UNIX_EPOCH,
            attempt: 1,
            cycle_attempt: 1,
            ordering_key: None,
            event_type: Some("ceiling.measured".parse()?),
            traceparent: None,
            lost_again: false,
            payload: Some(payload(payload_bytes)),
        };
        let callable = Arc::new(CallableFactory::new(&settings, vault).make(endpoint));
        Ok(Self { sender: sender(&settings)?, clock, callable, claimed })
    }

    /// Makes one attempt, of an event of its own, as the engine would.
    pub async fn deliver(&self) -> EndedAttempt {
        let mut claimed = self.claimed.clone();
        claimed.key.event_id = fresh_event(&self.clock);
        let leased_until = self.clock.now() + LEASE;
        attempt::make(&claimed, &self.callable, &self.sender, &self.clock, leased_until).await.attempt
    }
}

fn fresh_event(clock: &Clock) -> EventId {
    EventId::mint(clock.now(), u64::from_ne_bytes(random_bytes()))
}

/// A JSON object of that many bytes, as far as its frame allows.
fn payload(bytes: usize) -> Bytes {
    const FRAME: &str = r#"{"data":""}"#;
    Bytes::from(format!(r#"{{"data":"{}"}}"#, "x".repeat(bytes.saturating_sub(FRAME.len()))))
}
