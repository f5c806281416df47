use actix_web::http::header::{HeaderMap, LOCATION};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use metrics::{counter, histogram};
use serde::Serialize;
use sha2::{Digest, Sha256};
use trunkline_boot::random::random_bytes;
use trunkline_domain::event::DELIVER_AFTER_MAX;
use trunkline_domain::payload::{self, PayloadFacts};
use trunkline_domain::{EventId, EventStatus, EventType, NewEvent, OrderingKey};
use trunkline_store::api_keys::KeyOwner;
use trunkline_store::tenants::TenantStatus;
use utoipa::ToSchema;

use crate::auth::Writer;
use crate::body;
use crate::ingest::{Idempotency, Stored};
use crate::problem::{Problem, ProblemBody};
use crate::rate::Allowance;
use crate::state::State;

const EVENT_TYPE: &str = "trunkline-event-type";
const IDEMPOTENCY_KEY: &str = "idempotency-key";
const DELIVER_AT: &str = "trunkline-deliver-at";
const ORDERING_KEY: &str = "trunkline-ordering-key";
const IDEMPOTENCY_KEY_LENGTH_MAX: usize = 255;
/// `00-<32 digits>-<16 digits>-<2 digits>` (W3C Trace Context, section 3.2.2).
const TRACEPARENT_LENGTH: usize = 55;

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
    request_body(content = serde_json::Value, description = "Any JSON object of at most 256 KiB and 64 levels", example = json!({"type": "order.created", "order": 42})),
    responses(
        (status = 201, description = "Stored.", body = Published, headers(
            ("Location" = String, description = "The event"),
            ("Idempotency-Replayed" = String, description = "`true`: the answer of the first request with this key"),
        )),
        (status = 400, description = "A header has an invalid value.", body = ProblemBody),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "The key lacks the scope write, or the tenant is suspended.", body = ProblemBody),
        (status = 409, description = "A request with the same Idempotency-Key is still running.", body = ProblemBody),
        (status = 413, description = "Larger than 256 KiB.", body = ProblemBody),
        (status = 415, description = "Not application/json, or encoded.", body = ProblemBody),
        (status = 422, description = "Not a JSON object by our rules, or an Idempotency-Key with another body.", body = ProblemBody),
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
    let started = std::time::Instant::now();
    let allowance = allow(&state, &owner, 1)?;
    let key = idempotency_key(request.headers())?;
    let named_type = named_type(request.headers())?;
    let deliver_at = deliver_at(request.headers())?;
    let ordering_key = ordering_key(request.headers())?;
    let body = body::read(&request, payload, state.payload_bytes_max).await?;
    let facts = payload::inspect(&body).map_err(Problem::unusable_payload)?;
    let draft = Draft {
        is_judged: facts.not_judged.is_none(),
        event_type: event_type(named_type, facts)?,
        deliver_at,
        ordering_key,
        traceparent: traceparent(request.headers()),
        payload: body,
    };
    let event = draft.into_event(&state, &owner)?;
    let key = key.map(|key| Idempotency { key, body_sha256: body_sha256(&event) });
    let stored = state.ingest.publish(event, key, owner.has_payload_filters).await?;
    counter!("trunkline_api_events_published_total").increment(1);
    histogram!("trunkline_api_publish_seconds").record(started.elapsed().as_secs_f64());
    Ok(answer(stored, allowance))
}

/// Whether the tenant may publish that many events now.
pub(super) fn allow(state: &State, owner: &KeyOwner, events: u32) -> Result<Option<Allowance>, Problem> {
    if owner.tenant_status != TenantStatus::Active {
        return Err(Problem::forbidden(
            "tenant_suspended",
            "This tenant is suspended and publishes nothing; ask its operator.",
        ));
    }
    let allowance = state.rates.take(owner, events);
    let Some(refused) = allowance.filter(|allowance| !allowance.is_granted) else { return Ok(allowance) };
    let problem = Problem::rate_limited(refused.wait_seconds.max(1));
    Err(rate_headers(refused).into_iter().fold(problem, |problem, (name, value)| {
        problem.with(actix_web::http::header::HeaderName::from_static(name), value)
    }))
}

/// An event as its publisher describes it, checked but for what needs the time.
pub(super) struct Draft {
    pub(super) event_type: Option<EventType>,
    pub(super) deliver_at: Option<DateTime<Utc>>,
    pub(super) ordering_key: Option<OrderingKey>,
    pub(super) traceparent: Option<String>,
    pub(super) is_judged: bool,
    pub(super) payload: Bytes,
}

impl Draft {
    /// Gives it an id and a time.
    pub(super) fn into_event(self, state: &State, owner: &KeyOwner) -> Result<NewEvent<Bytes>, Problem> {
        let created_at = state.clock.now();
        if self.deliver_at.is_some_and(|at| at > created_at + DELIVER_AFTER_MAX) {
            return Err(Problem::bad_field("deliver_at", "deliver_at lies at most 30 days ahead."));
        }
        Ok(NewEvent {
            lane: owner.lane,
            tenant_id: owner.tenant_id.clone(),
            event_id: EventId::mint(created_at, u64::from_ne_bytes(random_bytes())),
            event_type: self.event_type,
            created_at,
            deliver_at: self.deliver_at,
            ordering_key: self.ordering_key,
            traceparent: self.traceparent,
            is_judged: self.is_judged,
            payload_sha256: Sha256::digest(&self.payload).into(),
            payload: self.payload,
        })
    }
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

/// The fields of draft-ietf-httpapi-ratelimit-headers.
pub(super) fn rate_headers(allowance: Allowance) -> [(&'static str, String); 2] {
    [
        ("ratelimit-policy", format!("\"tenant\";q={};w={}", allowance.burst, allowance.window_seconds)),
        ("ratelimit", format!("\"tenant\";r={};t={}", allowance.remaining, allowance.wait_seconds)),
    ]
}

/// The header, else the payload's own words.
pub(super) fn event_type(
    named: Option<EventType>,
    facts: PayloadFacts,
) -> Result<Option<EventType>, Problem> {
    if named.is_some() {
        return Ok(named);
    }
    facts.event_type().map_err(|error| {
        let detail = format!("The payload's member type (or event) is no event type: {error}. Name one in the header Trunkline-Event-Type.");
        Problem::bad_field("type", &detail)
    })
}

fn named_type(headers: &HeaderMap) -> Result<Option<EventType>, Problem> {
    let Some(value) = headers.get(EVENT_TYPE) else {
        return Ok(None);
    };
    let parsed = value.to_str().ok().and_then(|text| text.parse().ok());
    parsed.map(Some).ok_or_else(|| {
        Problem::bad_header(
            "Trunkline-Event-Type",
            "Trunkline-Event-Type accepts 1 to 128 visible ASCII characters without spaces.",
        )
    })
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    let key = value.to_str().ok().filter(|text| is_idempotency_key(text));
    key.map(|key| Some(key.to_owned())).ok_or_else(|| {
        Problem::bad_header(
            "Idempotency-Key",
            "Idempotency-Key accepts 1 to 255 visible ASCII characters without spaces.",
        )
    })
}

/// Whether it may be an Idempotency-Key, in a header or a batch.
pub(super) fn is_idempotency_key(text: &str) -> bool {
    let is_visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    is_visible && (1..=IDEMPOTENCY_KEY_LENGTH_MAX).contains(&text.len())
}

fn deliver_at(headers: &HeaderMap) -> Result<Option<DateTime<Utc>>, Problem> {
    let Some(value) = headers.get(DELIVER_AT) else {
        return Ok(None);
    };
    let parsed = value.to_str().ok().and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    parsed.map(|at| Some(at.to_utc())).ok_or_else(|| {
        Problem::bad_header(
            "Trunkline-Deliver-At",
            "Trunkline-Deliver-At accepts a time as 2030-01-31T12:00:00Z.",
        )
    })
}

fn ordering_key(headers: &HeaderMap) -> Result<Option<OrderingKey>, Problem> {
    let Some(value) = headers.get(ORDERING_KEY) else {
        return Ok(None);
    };
    let parsed = value.to_str().ok().and_then(|text| text.parse().ok());
    parsed.map(Some).ok_or_else(|| {
        let detail = "Trunkline-Ordering-Key accepts 1 to 256 visible ASCII characters without spaces.";
        Problem::bad_header("Trunkline-Ordering-Key", detail)
    })
}

/// Kept if it is well-formed; the standard asks to pass over anything else.
fn traceparent(headers: &HeaderMap) -> Option<String> {
    let value = headers.get("traceparent")?.to_str().ok()?;
    let parts: Vec<&str> = value.split('-').collect();
    let is_hex =
        |part: &&str| part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    let is_well_formed = lengths == [2, 32, 16, 2] && parts.iter().all(is_hex) && parts[0] != "ff";
    (value.len() == TRACEPARENT_LENGTH && is_well_formed).then(|| value.to_owned())
}

/// What an Idempotency-Key is bound to: type and payload. The separator is a byte that no type has.
pub(super) fn body_sha256(event: &NewEvent<Bytes>) -> [u8; 32] {
    let event_type = event.event_type.as_ref().map_or("", EventType::as_str);
    let mut hash = Sha256::new();
    hash.update(event_type);
    hash.update([0]);
    hash.update(&event.payload);
    hash.finalize().into()
}
