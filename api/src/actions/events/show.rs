use actix_web::web;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use trunkline_domain::{DeliveryStatus, EndpointId, EventId, EventStatus, EventType};
use trunkline_store::events::{self, DeliveryDetail, EventDetail};
use utoipa::ToSchema;

use super::id;
use crate::auth::Reader;
use crate::problem::{Problem, ProblemBody};
use crate::state::State;

/// An event with all that is known of it but its attempts.
#[derive(Serialize, ToSchema)]
pub(crate) struct EventAnswer {
    event: Event,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Event {
    #[schema(value_type = String)]
    event_id: EventId,
    #[schema(value_type = Option<String>)]
    r#type: Option<EventType>,
    /// FAILED if any delivery is, else PENDING if any is, else DELIVERED if any is, else CANCELLED; UNROUTED without any.
    #[schema(value_type = String)]
    status: EventStatus,
    created_at: DateTime<Utc>,
    /// Not to be attempted before then; null = at once.
    deliver_at: Option<DateTime<Utc>>,
    /// Endpoints that deliver in order attempt it after earlier events with this key.
    ordering_key: Option<String>,
    /// Over all deliveries.
    attempts: u32,
    /// The latest of all deliveries.
    last_attempt_at: Option<DateTime<Utc>>,
    /// The earliest of all deliveries; null = none is attempted by itself.
    next_attempt_at: Option<DateTime<Utc>>,
    /// Exactly as it was published; null = erased.
    #[schema(value_type = Option<serde_json::Value>)]
    payload: Option<Box<RawValue>>,
    /// When its payload was erased by request; null = it was not.
    payload_erased_at: Option<DateTime<Utc>>,
    /// Of the delivery that decides the status.
    target_url: Option<String>,
    /// Of the delivery that decides the status.
    error_message: Option<String>,
    /// Oldest endpoint first.
    deliveries: Vec<Delivery>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Delivery {
    #[schema(value_type = String, example = "ep_01a20ada2c007abc8123456789abcdef")]
    endpoint_id: EndpointId,
    endpoint_name: String,
    target_url: String,
    #[schema(value_type = String)]
    status: DeliveryStatus,
    attempts: u32,
    last_attempt_at: Option<DateTime<Utc>>,
    next_attempt_at: Option<DateTime<Utc>>,
    /// It waits for an earlier event with the same ordering key.
    held: bool,
    last_status_code: Option<i16>,
    last_error: Option<String>,
    finished_at: Option<DateTime<Utc>>,
}

/// Show an event
#[utoipa::path(
    operation_id = "showEvent",
    get, path = "/v1/events/{event_id}", tag = "events", security(("key" = [])),
    params(("event_id" = String, Path, description = "evt_...")),
    responses(
        (status = 200, description = "The event.", body = EventAnswer),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "The key lacks the scope read.", body = ProblemBody),
        (status = 404, description = "There is none, or it is another tenant's.", body = ProblemBody),
        (status = 503, description = "The database is away.", body = ProblemBody),
    )
)]
pub(crate) async fn show(
    state: web::Data<State>,
    path: web::Path<String>,
    Reader(owner): Reader,
) -> Result<web::Json<EventAnswer>, Problem> {
    let event_id = id(&path)?;
    let mut connection = state.for_tenant(&owner.tenant_id).await?;
    let found = events::find(&mut connection, owner.lane, &owner.tenant_id, event_id).await?;
    let detail = found.ok_or_else(Problem::no_event)?;
    Ok(web::Json(EventAnswer { event: event(detail)? }))
}

fn event(detail: EventDetail) -> Result<Event, Problem> {
    let status = EventStatus::over(detail.deliveries.iter().map(|delivery| delivery.status));
    let deciding = detail.deliveries.iter().find(|delivery| delivery.status.as_str() == status.as_str());
    Ok(Event {
        event_id: detail.event_id,
        r#type: detail.event_type,
        status,
        created_at: detail.created_at,
        deliver_at: detail.deliver_at,
        ordering_key: detail.ordering_key,
        attempts: detail.deliveries.iter().map(|delivery| delivery.attempts).sum(),
        last_attempt_at: detail.deliveries.iter().filter_map(|delivery| delivery.last_attempt_at).max(),
        next_attempt_at: detail.deliveries.iter().filter_map(|delivery| delivery.next_attempt_at).min(),
        payload: detail.payload.map(raw).transpose()?,
        payload_erased_at: detail.payload_erased_at,
        target_url: deciding.map(|delivery| delivery.target_url.clone()),
        error_message: deciding.and_then(|delivery| delivery.last_error.clone()),
        deliveries: detail.deliveries.into_iter().map(Delivery::from).collect(),
    })
}

/// The bytes were checked when they came in; they are looked at again only for where they end.
pub(super) fn raw(payload: Vec<u8>) -> Result<Box<RawValue>, Problem> {
    let text = String::from_utf8(payload).map_err(|_| Problem::internal("a stored payload is not UTF-8"))?;
    RawValue::from_string(text).map_err(|_| Problem::internal("a stored payload is not JSON"))
}

impl From<DeliveryDetail> for Delivery {
    fn from(delivery: DeliveryDetail) -> Self {
        Self {
            endpoint_id: delivery.endpoint_id,
            endpoint_name: delivery.endpoint_name,
            target_url: delivery.target_url,
            status: delivery.status,
            attempts: delivery.attempts,
            last_attempt_at: delivery.last_attempt_at,
            next_attempt_at: delivery.next_attempt_at,
            held: delivery.is_held,
            last_status_code: delivery.last_status_code,
            last_error: delivery.last_error,
            finished_at: delivery.finished_at,
        }
    }
}
