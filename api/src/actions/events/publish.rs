use std::time::{Duration, Instant};

use actix_web::http::header::{HeaderName, LOCATION};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use serde::Serialize;
use trunkline_domain::payload;
use trunkline_domain::{EventId, EventStatus};
use trunkline_store::api_keys::KeyOwner;
use trunkline_store::tenants::TenantStatus;
use utoipa::ToSchema;

use super::draft::{Draft, body_sha256, event_type};
use super::headers::{deliver_at, idempotency_key, named_type, ordering_key, too_far_ahead};
use crate::auth::Writer;
use crate::body;
use crate::frame::traceparent;
use crate::ingest::{Idempotency, Stored};
use crate::metrics::METRICS;
use crate::problem::{Problem, ProblemBody};
use crate::rate::Allowance;
use crate::state::State;

/// An event that is stored and will be delivered.
#[derive(Serialize, ToSchema)]
pub(crate) struct Published {
    /// Names the event from now on, also to its receivers (`webhook-id`).
    #[schema(value_type = String, example = "evt_01a20ada2c007abc8123456789abcdef")]
    event_id: EventId,
    /// PENDING, or UNROUTED if no endpoint takes events of this type.
    #[schema(value_type = String, example = "PENDING")]
    status: EventStatus,
}

/// Publish an event
///
/// The body, any JSON object, is the payload: it is stored, signed and delivered byte for byte. 201 means that the event
/// and its deliveries are committed. After a 503 or a broken connection the event may be stored all the same; send it
/// again with the same Idempotency-Key, and it is stored once.
#[utoipa::path(
    operation_id = "publishEvent",
    post, path = "/v1/events", tag = "events", security(("key" = [])),
    params(
        ("Trunkline-Event-Type" = Option<String>, Header, description = "What happened: 1-128 visible ASCII characters. Else the payload's string member `type`, else `event`"),
        ("Idempotency-Key" = Option<String>, Header, description = "1-255 visible ASCII characters, yours for this event; remembered for 24 hours"),
        ("Trunkline-Deliver-At" = Option<String>, Header, description = "RFC 3339, at most 30 days ahead: not attempted before then; it can be cancelled until then"),
        ("Trunkline-Ordering-Key" = Option<String>, Header, description = "1-256 visible ASCII characters: endpoints that deliver in order attempt it after earlier events with this key"),
        ("traceparent" = Option<String>, Header, description = "W3C trace context, sent on with every attempt"),
    ),
    request_body(content = serde_json::Value, description = "Any JSON object of at most 256 KiB (unless the operator set it otherwise) and 64 levels", example = json!({"type": "order.created", "order": 42})),
    responses(
        (status = 201, description = "Stored.", body = Published, headers(
            ("Location" = String, description = "The event"),
            ("Idempotency-Replayed" = String, description = "`true`: the answer of the first request with this key"),
        )),
        (status = 400, description = "A header has an invalid value, or is there twice.", body = ProblemBody),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "The key lacks the scope write, or the tenant is suspended.", body = ProblemBody),
        (status = 409, description = "A request with the same Idempotency-Key is still running.", body = ProblemBody),
        (status = 413, description = "Larger than 256 KiB, or what the operator set instead.", body = ProblemBody),
        (status = 415, description = "Not application/json, or encoded.", body = ProblemBody),
        (status = 422, description = "Not a JSON object by our rules, not as its type's enforced schema asks, or an Idempotency-Key with another body.", body = ProblemBody),
        (status = 429, description = "Above the tenant's rate; see Retry-After.", body = ProblemBody),
        (status = 503, description = "Overloaded, or the database is away; see Retry-After.", body = ProblemBody),
    )
)]
pub(crate) async fn publish(
    state: web::Data<State>,
    request: HttpRequest,
    Writer(owner): Writer,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let started = Instant::now();
    let allowance = allow(&state, &owner, 1).await?;
    let waited = started.elapsed();
    let stored =
        store(&state, &request, &owner, payload, waited).await.map_err(|problem| told(problem, allowance))?;
    METRICS.published.increment(1);
    METRICS.publish_seconds.record(started.elapsed().as_secs_f64());
    Ok(answer(stored, allowance))
}

async fn store(
    state: &State,
    request: &HttpRequest,
    owner: &KeyOwner,
    payload: web::Payload,
    waited: Duration,
) -> Result<Stored, Problem> {
    let key = idempotency_key(request.headers())?;
    let named_type = named_type(request.headers())?;
    let deliver_at = deliver_at(request.headers())?;
    let ordering_key = ordering_key(request.headers())?;
    let body = body::read(request, payload, state.payload_bytes_max).await?;
    let facts = payload::inspect(&body.bytes).map_err(Problem::unusable_payload)?;
    let draft = Draft {
        is_judged: facts.not_judged.is_none(),
        event_type: event_type(named_type, facts)?,
        deliver_at,
        ordering_key,
        traceparent: traceparent(request),
        payload: body.bytes.clone(),
    };
    let event = draft.into_event(state, owner).map_err(too_far_ahead)?;
    state.schemas.check(&state.pool, &owner.tenant_id, event.event_type.as_ref(), &event.payload).await?;
    let key = key.map(|key| Idempotency { key, body_sha256: body_sha256(&event) });
    Ok(state.ingest.publish(event, key, owner.filter_weight, waited).await?)
}

/// Whether the tenant may publish that many events now.
pub(crate) async fn allow(
    state: &State,
    owner: &KeyOwner,
    events: u32,
) -> Result<Option<Allowance>, Problem> {
    require_active(owner)?;
    let allowance = state.rates.take(owner, events).await?;
    let Some(refused) = allowance.filter(|allowance| !allowance.is_granted) else { return Ok(allowance) };
    Err(over_rate(refused))
}

/// Refuses a tenant that may publish nothing at all for the moment, before anything is read of what it sends. Takes nothing.
pub(super) fn admit(state: &State, owner: &KeyOwner) -> Result<(), Problem> {
    require_active(owner)?;
    state.rates.refuses_all(owner).map_or(Ok(()), |refused| Err(over_rate(refused)))
}

fn require_active(owner: &KeyOwner) -> Result<(), Problem> {
    if owner.tenant_status == TenantStatus::Active {
        return Ok(());
    }
    let detail = "This tenant is suspended and publishes nothing; ask its operator.";
    Err(Problem::forbidden("tenant_suspended", detail))
}

fn over_rate(refused: Allowance) -> Problem {
    told(Problem::rate_limited(refused.wait_seconds), Some(refused))
}

/// A refusal that tells the caller's rate, which it took from as well.
pub(super) fn told(problem: Problem, allowance: Option<Allowance>) -> Problem {
    allowance
        .map(rate_headers)
        .into_iter()
        .flatten()
        .fold(problem, |problem, (name, value)| problem.with(HeaderName::from_static(name), value))
}

fn answer(stored: Stored, allowance: Option<Allowance>) -> HttpResponse {
    let mut response = HttpResponse::Created();
    response.insert_header((LOCATION, format!("/v1/events/{}", stored.event_id)));
    if stored.is_replayed {
        response.insert_header(("idempotency-replayed", "true"));
    }
    for header in allowance.map(rate_headers).into_iter().flatten() {
        response.insert_header(header);
    }
    let status = if stored.is_routed { EventStatus::Pending } else { EventStatus::Unrouted };
    HttpResponseBuilder::json(&mut response, Published { event_id: stored.event_id, status })
}

/// The fields of draft-ietf-httpapi-ratelimit-headers-11. A batch uses up as many as it has events. `t` is there when nothing was
/// granted, and is what Retry-After says.
pub(super) fn rate_headers(allowance: Allowance) -> [(&'static str, String); 2] {
    let window = if allowance.is_granted { String::new() } else { format!(";t={}", allowance.wait_seconds) };
    [
        ("ratelimit-policy", format!("\"tenant\";q={};w={}", allowance.burst, allowance.window_seconds)),
        ("ratelimit", format!("\"tenant\";r={}{window}", allowance.remaining)),
    ]
}
