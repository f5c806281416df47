mod body_text;

use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use trunkline_domain::payload::{self, PayloadFacts};
use trunkline_domain::{EventId, EventStatus, EventType, OrderingKey};
use trunkline_store::api_keys::KeyOwner;
use utoipa::ToSchema;

use body_text::{BatchRequest, ItemRequest};

use super::draft::{Draft, TooFarAhead, body_sha256, event_type};
use super::headers::{is_idempotency_key, refuse_those_of_one_event};
use super::publish::{admit, allow, rate_headers, told};
use crate::auth::Writer;
use crate::body;
use crate::frame::traceparent;
use crate::ingest::{Idempotency, Item, ItemRefused, NotStored, Stored};
use crate::metrics::METRICS;
use crate::problem::{Problem, ProblemBody};
use crate::state::State;

/// Events of one batch.
const EVENTS_MAX: usize = 1_000;

/// Bytes of one batch: it is held in memory until it is stored.
const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Events to be stored together.
#[derive(ToSchema)]
#[schema(as = BatchRequest)]
#[allow(dead_code, reason = "describes what is read piece by piece, so that an error can name its item")]
pub(crate) struct BatchDescription {
    /// 1 to 1,000.
    events: Vec<BatchItem>,
}

/// One event of a batch.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read piece by piece, so that an error can name its item")]
pub(crate) struct BatchItem {
    /// What happened; else the payload's member `type`, else `event`.
    #[schema(example = "order.created")]
    r#type: Option<String>,
    /// Any JSON object of at most 256 KiB (unless the operator set it otherwise) and 64 levels, kept byte for byte.
    #[schema(value_type = Object, example = json!({"order": 42}))]
    payload: serde_json::Value,
    /// As the header Idempotency-Key.
    idempotency_key: Option<String>,
    /// As the header Trunkline-Ordering-Key.
    ordering_key: Option<String>,
    /// As the header Trunkline-Deliver-At.
    #[schema(value_type = Option<String>, format = DateTime)]
    deliver_at: Option<String>,
}

/// What became of a batch.
#[derive(Serialize, ToSchema)]
pub(crate) struct PublishedBatch {
    /// One for each item, in order.
    events: Vec<PublishedItem>,
}

/// What became of one event of a batch.
#[derive(Serialize, ToSchema)]
pub(crate) struct PublishedItem {
    #[schema(value_type = String, example = "evt_01a20ada2c007abc8123456789abcdef")]
    event_id: EventId,
    /// PENDING, or UNROUTED if no endpoint takes it.
    #[schema(value_type = String, example = "PENDING")]
    status: EventStatus,
    /// The key was used before, with the same body: this is the event of then.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    replayed: bool,
}

/// Publish many events
///
/// 1 to 1,000 events of at most 8 MiB in all, stored in one transaction: all of them or none. A problem names the item that
/// it is because of, such as `events[3].payload`.
#[utoipa::path(
    operation_id = "publishBatch",
    post, path = "/v1/events/batch", tag = "events", security(("key" = [])),
    params(("traceparent" = Option<String>, Header, description = "W3C trace context, sent on with every attempt of every event")),
    request_body = BatchDescription,
    responses(
        (status = 201, description = "Stored.", body = PublishedBatch),
        (status = 400, description = "A header is for one event; its items say it instead.", body = ProblemBody),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "The key lacks the scope write, or the tenant is suspended.", body = ProblemBody),
        (status = 409, description = "A request with one of the keys is still running.", body = ProblemBody),
        (status = 413, description = "Larger than 8 MiB.", body = ProblemBody),
        (status = 415, description = "Not application/json, or encoded.", body = ProblemBody),
        (status = 422, description = "An item is not accepted; nothing is stored.", body = ProblemBody),
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
    admit(&state, &owner)?;
    if let Err(problem) = refuse_those_of_one_event(request.headers()) {
        return Err(charged(&state, &owner, problem).await);
    }
    let body = match body::read(&request, payload, BATCH_BYTES_MAX).await {
        Ok(body) => body,
        Err(problem) => return Err(charged(&state, &owner, problem).await),
    };
    let batch = match counted(&body.bytes) {
        Ok(batch) => batch,
        Err(problem) => return Err(charged(&state, &owner, problem).await),
    };
    let count = batch.events.len();
    // Before its items are looked at, which is what it costs: whether they are accepted or not.
    let asked = std::time::Instant::now();
    let allowance = allow(&state, &owner, u32::try_from(count).unwrap_or(u32::MAX)).await?;
    let waited = asked.elapsed();
    let traceparent = traceparent(&request);
    let items = items(&state, &owner, (&body.bytes, &batch), traceparent).await;
    let items = items.map_err(|problem| told(problem, allowance))?;
    let stored = state.ingest.publish_together(items, owner.filter_weight, waited).await;
    let stored = stored.map_err(|refused| told(refusal(refused), allowance))?;
    METRICS.published.increment(count as u64);
    let mut response = HttpResponse::Created();
    for header in allowance.map(rate_headers).into_iter().flatten() {
        response.insert_header(header);
    }
    Ok(response.json(PublishedBatch { events: stored.into_iter().map(PublishedItem::of).collect() }))
}

/// A refusal of what is no batch, which costs as much as one event.
async fn charged(state: &State, owner: &KeyOwner, problem: Problem) -> Problem {
    match allow(state, owner, 1).await {
        Ok(allowance) => told(problem, allowance),
        Err(over) => over,
    }
}

fn counted(body: &Bytes) -> Result<BatchRequest<'_>, Problem> {
    let batch: BatchRequest<'_> = body::object(body)?;
    if (1..=EVENTS_MAX).contains(&batch.events.len()) {
        return Ok(batch);
    }
    Err(Problem::bad_field("events", "events holds 1 to 1,000 events."))
}

async fn items(
    state: &State,
    owner: &KeyOwner,
    (body, batch): (&Bytes, &BatchRequest<'_>),
    traceparent: Option<String>,
) -> Result<Vec<Item>, Problem> {
    let mut items = Vec::with_capacity(batch.events.len());
    for (index, text) in batch.events.iter().enumerate() {
        let item =
            item(state, owner, body, text, traceparent.clone()).map_err(|problem| problem.of_item(index))?;
        let (event_type, payload) = (item.event.event_type.as_ref(), &item.event.payload);
        let checked = state.schemas.check(&state.pool, &owner.tenant_id, event_type, payload).await;
        checked.map_err(|problem| problem.of_item(index))?;
        items.push(item);
    }
    Ok(items)
}

/// Reads one item; the payload stays where it lies in `body`.
fn item(
    state: &State,
    owner: &KeyOwner,
    body: &Bytes,
    text: &RawValue,
    traceparent: Option<String>,
) -> Result<Item, Problem> {
    let request: ItemRequest<'_> = body::object(text.get().as_bytes())?;
    let payload = body.slice_ref(request.payload.get().as_bytes());
    if payload.len() > state.payload_bytes_max {
        let detail = format!("A payload has {} bytes here at most.", state.payload_bytes_max);
        return Err(Problem::bad_field("payload", &detail));
    }
    let facts =
        payload::inspect(&payload).map_err(|error| Problem::unusable_payload(error).on_field("payload"))?;
    let draft = Draft {
        is_judged: facts.not_judged.is_none(),
        event_type: named_or_declared_type(request.r#type, facts)?,
        deliver_at: request.deliver_at,
        ordering_key: request.ordering_key.as_deref().map(ordering_key).transpose()?,
        traceparent,
        payload,
    };
    let event = draft
        .into_event(state, owner)
        .map_err(|TooFarAhead| Problem::bad_field("deliver_at", "deliver_at lies at most 30 days ahead."))?;
    let key = request.idempotency_key.map(|key| {
        if !is_idempotency_key(&key) {
            let detail = "idempotency_key accepts 1 to 255 visible ASCII characters without spaces.";
            return Err(Problem::bad_field("idempotency_key", detail));
        }
        Ok(Idempotency { key, body_sha256: body_sha256(&event) })
    });
    Ok(Item { key: key.transpose()?, event })
}

fn named_or_declared_type(named: Option<String>, facts: PayloadFacts) -> Result<Option<EventType>, Problem> {
    let named = named.map(EventType::try_from).transpose();
    event_type(named.map_err(|error| Problem::bad_field("type", &format!("{error}.")))?, facts)
}

fn ordering_key(text: &str) -> Result<OrderingKey, Problem> {
    text.parse().map_err(|_| {
        let detail = "ordering_key accepts 1 to 256 visible ASCII characters without spaces.";
        Problem::bad_field("ordering_key", detail)
    })
}

fn refusal(refused: ItemRefused) -> Problem {
    let problem = Problem::from(refused.reason);
    match refused.index {
        Some(index) if matches!(refused.reason, NotStored::KeyReused | NotStored::KeyBusy) => {
            problem.on_field("idempotency_key").of_item(index)
        }
        _ => problem,
    }
}

impl PublishedItem {
    fn of(stored: Stored) -> Self {
        let status = if stored.is_routed { EventStatus::Pending } else { EventStatus::Unrouted };
        Self { event_id: stored.event_id, status, replayed: stored.is_replayed }
    }
}
