//! The call itself: one pooled client, one deadline over everything, an answer read no further than needed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use trunkline_boot::Settings;
use trunkline_domain::AttemptOutcome;
use trunkline_egress::{EgressPolicy, GuardedResolver};
use trunkline_store::deliveries::Claimed;

use super::resolver::Guard;
use super::{Failure, request};
use crate::roster::Callable;

/// How much of an answer is read before the connection is given up. More than any sensible answer; enough of a small
/// one to keep its connection for the next call.
const READ_BYTES_MAX: usize = 64 * 1024;

/// How much of an answer is kept with the attempt.
const EXCERPT_BYTES_MAX: usize = 4 * 1024;

/// A connection unused for longer is closed: shorter than the usual servers' own limit, so that we rarely write into one
/// that is just being closed.
const IDLE_CONNECTION: Duration = Duration::from_secs(20);

/// Calls endpoints. Cheap to clone; all clones share connections.
#[derive(Clone)]
pub(crate) struct Sender {
    client: Client,
    policy: Arc<EgressPolicy>,
}

/// The head of an answer and the beginning of its body.
pub(super) struct Received {
    pub(super) status: u16,
    pub(super) retry_after: Option<String>,
    pub(super) excerpt: Vec<u8>,
}

/// The HTTP client could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot be set up: {0}")]
pub struct SenderError(#[from] reqwest::Error);

impl Sender {
    pub(crate) fn new(settings: &Settings) -> Result<Self, SenderError> {
        let policy = Arc::new(EgressPolicy::new(settings.egress.allow.clone()));
        let resolver = Arc::new(GuardedResolver::new(policy.clone()));
        let client = Client::builder()
            .user_agent(request::USER_AGENT)
            .redirect(Policy::none())
            .referer(false)
            // A proxy named in the environment would resolve and connect past the guard.
            .no_proxy()
            .dns_resolver(Arc::new(Guard(resolver)))
            .connect_timeout(settings.delivery.connect_timeout)
            .http1_only()
            .tcp_nodelay(true)
            .pool_idle_timeout(IDLE_CONNECTION)
            .pool_max_idle_per_host(settings.worker.endpoint_concurrency)
            .build()?;
        Ok(Self { client, policy })
    }

    /// Sends a delivery and reads the answer, all within the endpoint's time-out.
    pub(super) async fn send(
        &self,
        claimed: &Claimed,
        callable: &Callable,
        payload: Bytes,
    ) -> Result<Received, Failure> {
        // Checked again although it was when saved: the rules may have changed, and the client asks the resolver
        // about names only, never about addresses written as such.
        let url = self
            .policy
            .check_url(&callable.url)
            .map_err(|refused| Failure::new(AttemptOutcome::Blocked, refused.to_string()))?;
        let timestamp = trunkline_boot::clock::signing_now();
        let headers = request::headers(claimed, &payload, &callable.secrets, timestamp)?;
        let call = self.call(url.as_str(), headers, payload);
        tokio::time::timeout(callable.timeout, call).await.unwrap_or_else(|_| {
            let seconds = callable.timeout.as_secs_f64();
            Err(Failure::new(AttemptOutcome::Timeout, format!("no complete answer within {seconds} s")))
        })
    }

    async fn call(&self, url: &str, headers: HeaderMap, payload: Bytes) -> Result<Received, Failure> {
        let sent = self.client.post(url).headers(headers).body(payload).send().await;
        let response = sent.map_err(|error| Failure::of(&error.without_url()))?;
        let status = response.status().as_u16();
        let retry_after =
            response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let excerpt = read_excerpt(response).await?;
        Ok(Received { status, retry_after, excerpt })
    }
}

/// Reads on to [`READ_BYTES_MAX`] and keeps the first [`EXCERPT_BYTES_MAX`].
async fn read_excerpt(mut response: Response) -> Result<Vec<u8>, Failure> {
    let mut excerpt = Vec::new();
    let mut read = 0;
    while read < READ_BYTES_MAX {
        let chunk = response.chunk().await.map_err(|error| Failure::of(&error.without_url()))?;
        let Some(chunk) = chunk else { break };
        read += chunk.len();
        let wanted = chunk.len().min(EXCERPT_BYTES_MAX - excerpt.len());
        excerpt.extend_from_slice(&chunk[..wanted]);
    }
    Ok(excerpt)
}
