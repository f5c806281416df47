//! Publishes one event, patiently.

use std::thread::sleep;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;

use crate::api_client::{Client, Reply};
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
}

/// An event that is committed.
pub(super) struct Accepted {
    pub(super) event_id: String,
    pub(super) status: String,
}

impl Publisher {
    /// Publishes a payload as it is. Tries again while the api is too busy or does not answer; the key sees to it that
    /// this makes one event.
    ///
    /// # Errors
    /// What the api said, as a [`Failure`] where that has an exit code of its own.
    pub(super) fn publish(&self, payload: &[u8], idempotency_key: &str) -> anyhow::Result<Accepted> {
        let mut busy = 0;
        let mut broken = 0;
        loop {
            match self.post(payload, idempotency_key) {
                Ok(reply) => match wait_asked_for(&reply) {
                    Some(wait) if busy < BUSY_TRIES => {
                        busy += 1;
                        sleep(wait.min(WAIT_MAX));
                    }
                    _ => return accepted(&reply),
                },
                Err(error) if broken < BROKEN_TRIES && is_broken(&error) => {
                    broken += 1;
                    sleep(BROKEN_WAIT);
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn post(&self, payload: &[u8], idempotency_key: &str) -> anyhow::Result<Reply> {
        let mut headers = vec![("idempotency-key", idempotency_key)];
        headers.extend(self.event_type.as_deref().map(|name| ("trunkline-event-type", name)));
        // An empty body would be sent without a content type, and refused for that instead.
        let payload = if payload.is_empty() { b"\n" } else { payload };
        self.client.post("/v1/events", &headers, payload)
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

fn accepted(reply: &Reply) -> anyhow::Result<Accepted> {
    let answer: Value = reply.json()?;
    let text =
        |name: &str| answer[name].as_str().map(str::to_owned).context("the api's answer names no event");
    Ok(Accepted { event_id: text("event_id")?, status: text("status")? })
}
