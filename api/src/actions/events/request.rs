//! The request of an attempt as its tenant sees it. It is not stored: event, endpoint and attempt say what it was.

use serde::Serialize;
use trunkline_domain::{EventId, EventType};
use trunkline_store::attempts::{Attempt, EventFacts};
use utoipa::ToSchema;

/// Stands for a value that is a secret, or made with one.
const MASKED: &str = "***";

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
    headers: Vec<RequestHeader>,
}

/// A header of a request.
#[derive(Serialize, ToSchema)]
pub(crate) struct RequestHeader {
    #[schema(example = "trunkline-attempt")]
    name: String,
    /// `***` = masked: a signature, or a header of the tenant's own, which often is a credential.
    #[schema(example = "1")]
    value: String,
}

impl Request {
    /// `None` where nobody knows what was called.
    pub(super) fn of(event_id: EventId, facts: &EventFacts, attempt: &Attempt) -> Option<Self> {
        let url = attempt.url.clone()?;
        let mut headers = vec![
            header("host", authority(&url)),
            header("user-agent", OURSELVES),
            header("accept", "*/*"),
            header("accept-encoding", "identity"),
            header("content-type", "application/json"),
            header("webhook-id", event_id.to_string()),
            header("webhook-timestamp", MASKED),
            header("webhook-signature", MASKED),
            header("stripe-signature", MASKED),
            header("trunkline-attempt", attempt.number.to_string()),
        ];
        let event_type = facts.event_type.as_ref().map(EventType::as_str);
        headers.extend(event_type.map(|value| header("trunkline-event-type", value)));
        headers.extend(facts.traceparent.as_deref().map(|value| header("traceparent", value)));
        headers.extend(attempt.custom_headers.iter().map(|name| header(name.to_ascii_lowercase(), MASKED)));
        Some(Self { method: "POST", url, headers })
    }
}

fn header(name: impl Into<String>, value: impl Into<String>) -> RequestHeader {
    RequestHeader { name: name.into(), value: value.into() }
}

/// Host and port of a URL in canonical form, which has no credentials.
fn authority(url: &str) -> &str {
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    after_scheme.split(['/', '?']).next().unwrap_or_default()
}
