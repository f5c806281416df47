//! The request of an attempt as its tenant sees it. It is not stored: event, endpoint and attempt say what it was.

use serde::Serialize;
use trunkline_domain::{EventId, EventType};
use trunkline_store::attempts::{Attempt, EventFacts};
use utoipa::ToSchema;

use super::header::{Header, MASKED};

/// What every delivery says of its sender, with the release of today.
const OURSELVES: &str = concat!("Trunkline/", env!("CARGO_PKG_VERSION"));

/// The request of an attempt; its body is the event's payload.
#[derive(Serialize, ToSchema)]
#[schema(as = AttemptRequest)]
pub(crate) struct Request {
    #[schema(example = "POST")]
    method: &'static str,
    url: String,
    /// Those that the endpoint adds are shown as it has them today.
    headers: Vec<Header>,
}

impl Request {
    /// `None` where nobody knows what was called.
    pub(super) fn of(event_id: EventId, facts: &EventFacts, attempt: &Attempt) -> Option<Self> {
        let url = attempt.url.clone()?;
        let mut headers = vec![
            Header::new("host", authority(&url)),
            Header::new("user-agent", OURSELVES),
            Header::new("accept", "*/*"),
            Header::new("accept-encoding", "identity"),
            Header::new("content-type", "application/json"),
            Header::new("webhook-id", event_id.to_string()),
            Header::new("webhook-timestamp", MASKED),
            Header::new("webhook-signature", MASKED),
            Header::new("stripe-signature", MASKED),
            Header::new("trunkline-attempt", attempt.number.to_string()),
        ];
        let event_type = facts.event_type.as_ref().map(EventType::as_str);
        headers.extend(event_type.map(|value| Header::new("trunkline-event-type", value)));
        headers.extend(facts.traceparent.as_deref().map(|value| Header::new("traceparent", value)));
        headers
            .extend(attempt.custom_headers.iter().map(|name| Header::new(name.to_ascii_lowercase(), MASKED)));
        Some(Self { method: "POST", url, headers })
    }
}

/// Host and port of a URL in canonical form, which has no credentials.
fn authority(url: &str) -> &str {
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    after_scheme.split(['/', '?']).next().unwrap_or_default()
}
