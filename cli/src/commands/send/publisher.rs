//! Publishes one event, patiently.

use std::thread::sleep;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;

use crate::api_client::{Client, Method, Reply};
use crate::failure::Failure;

/// How often a busy api is asked for one event: with its Retry-After of a second, that is how long an overload may last.
const BUSY_TRIES: u32 = 30;
/// The longest wait that an api may ask for.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// How often an api is asked that does not answer, and the wait between.
const BROKEN_TRIES: u32 = 4;
const BROKEN_WAIT: Duration = Duration::from_millis(500);

/// Knows where events go and what they are.
pub(super) struct Publisher {
    pub(super) client: Client,
    pub(super) event_type: Option<String>,
    pub(super) deliver_at: Option<String>,
    pub(super) ordering_key: Option<String>,
}

/// An event that is committed.
pub(super) struct Accepted {
    pub(super) event_id: String,
    pub(super) status: String,
}

impl Publisher {
    /// Publishes a payload as it is.
    ///
    /// # Errors
    /// Those of [`Self::post`].
    pub(super) fn publish(&self, payload: &[u8], idempotency_key: &str) -> anyhow::Result<Accepted> {
        let named = [
            ("idempotency-key", Some(idempotency_key)),
            ("trunkline-event-type", self.event_type.as_deref()),
            ("trunkline-deliver-at", self.deliver_at.as_deref()),
            ("trunkline-ordering-key", self.ordering_key.as_deref()),
        ];
        let headers: Vec<(&str, &str)> =
            named.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        // An empty body would be sent without a content type, and refused for that instead.
        let payload = if payload.is_empty() { b"\n" } else { payload };
        Accepted::of(&self.post("/v1/events", &headers, payload)?.json()?)
    }

    /// Posts what has keys of ours in it. Tries again while the api is too busy or does not answer; the keys see to it that
    /// nothing is published twice.
    ///
    /// # Errors
    /// [`Failure::Unavailable`] when it goes on not to answer, [`Failure::Usage`] when a header cannot be sent.
    pub(super) fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> anyhow::Result<Reply> {
        let mut busy = 0;
        let mut broken = 0;
        loop {
            match self.client.call(Method::Post, path, headers, body) {
                Ok(reply) => match wait_asked_for(&reply) {
                    Some(wait) if busy < BUSY_TRIES => {
                        busy += 1;
                        sleep(wait.min(WAIT_MAX));
                    }
                    _ => return Ok(reply),
                },
                Err(error) if broken < BROKEN_TRIES && is_broken(&error) => {
                    broken += 1;
                    sleep(BROKEN_WAIT);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl Accepted {
    /// # Errors
    /// The answer names no event.
    pub(super) fn of(answer: &Value) -> anyhow::Result<Self> {
        let text =
            |name: &str| answer[name].as_str().map(str::to_owned).context("the api's answer names no event");
        Ok(Self { event_id: text("event_id")?, status: text("status")? })
    }
}

/// 429 and 503 ask to come back, and 409 while the same key is still being worked on.
fn wait_asked_for(reply: &Reply) -> Option<Duration> {
    match (reply.status, reply.retry_after) {
        (429 | 503, wait) => Some(wait.unwrap_or(Duration::from_secs(1))),
        (409, wait) => wait,
        _ => None,
    }
}

fn is_broken(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(Failure::Unavailable(_)))
}
