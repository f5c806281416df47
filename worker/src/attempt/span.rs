//! What a trace shows of an attempt: who, where to, which try and how it ended; no URL, which may hold a secret.

use std::time::Duration;

use trunkline_boot::trace::Span;
use trunkline_domain::AttemptOutcome;
use trunkline_store::deliveries::Claimed;

use super::Ended;

/// Begins the span of an attempt, in its event's trace; an event without one begins one. The endpoint is told the attempt's
/// own place in the trace.
pub(crate) fn span_of(claimed: &mut Claimed, waited: Duration) -> Span {
    let mut span = Span::of_call("attempt", claimed.traceparent.as_deref());
    if let Some(traceparent) = span.traceparent() {
        claimed.traceparent = Some(traceparent);
    }
    if span.is_recording() {
        span.tell("tenant.id", claimed.key.tenant_id.to_string());
        span.tell("event.id", claimed.key.event_id.to_string());
        span.tell("endpoint.id", claimed.key.endpoint_id.to_string());
        span.tell("trunkline.attempt", i64::from(claimed.attempt));
        span.tell("trunkline.waited_ms", i64::try_from(waited.as_millis()).unwrap_or(i64::MAX));
    }
    span
}

/// Ends it.
pub(crate) fn conclude(mut span: Span, ended: &Ended) {
    if !span.is_recording() {
        return;
    }
    let outcome = ended.attempt.outcome.as_str();
    span.tell("trunkline.outcome", outcome);
    if let Ok(target) = &ended.callable.target
        && let Ok(host) = target.host.to_str()
    {
        span.tell("server.address", host.to_owned());
    }
    if let Some(code) = ended.attempt.status_code {
        span.tell("http.response.status_code", i64::from(code));
    }
    if ended.attempt.outcome != AttemptOutcome::Succeeded {
        span.fail(outcome);
    }
}
