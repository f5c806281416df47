use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use trunkline_domain::{EventId, EventStatus, EventType};
use trunkline_store::events::EventSummary;
use utoipa::{IntoParams, ToSchema};

use crate::auth::Reader;
use crate::problem::{Problem, ProblemBody};
use crate::search::Texts;
use crate::state::State;
use crate::{page, query};

/// Which events, and where to go on.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Parameters {
    /// PENDING, DELIVERED, FAILED, CANCELLED or UNROUTED
    status: Option<String>,
    /// The exact type
    r#type: Option<String>,
    /// With a delivery to this endpoint, `ep_...`
    endpoint_id: Option<String>,
    /// Created later than this, RFC 3339
    after: Option<String>,
    /// Created earlier than this, RFC 3339
    before: Option<String>,
    /// With this member: a dotted path, a colon, and the text of its value, such as `order.id:42`; arrays count from 0
    payload: Option<String>,
    /// 1 to 100; 50 if it is not said
    limit: Option<String>,
    /// From the page before, with the same filters
    next_token: Option<String>,
}

/// A page of events, newest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct EventPage {
    events: Vec<EventInList>,
    /// For the next page; absent on the last one. A page may be short, even empty, and still have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
    /// Events on this page.
    total_count: usize,
}

/// An event, without payload and deliveries.
#[derive(Serialize, ToSchema)]
pub(crate) struct EventInList {
    #[schema(value_type = String)]
    event_id: EventId,
    #[schema(value_type = Option<String>)]
    r#type: Option<EventType>,
    #[schema(value_type = String)]
    status: EventStatus,
    created_at: DateTime<Utc>,
    attempts: u32,
    last_attempt_at: Option<DateTime<Utc>>,
    next_attempt_at: Option<DateTime<Utc>>,
}

/// List events
///
/// Newest first, in pages. Go on with `next_token` until there is none. A page looks at a bounded number of events, so that one
/// with a filter may be short.
#[utoipa::path(
    operation_id = "listEvents",
    get, path = "/v1/events", tag = "events", security(("key" = [])), params(Parameters),
    responses(
        (status = 200, description = "A page.", body = EventPage, headers(("Link" = String, description = "`rel=\"next\"`: the next page"))),
        (status = 400, description = "A parameter is unknown or has an invalid value.", body = ProblemBody),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "The key lacks the scope read.", body = ProblemBody),
        (status = 429, description = "The tenant's searches use its whole share; see Retry-After.", body = ProblemBody),
        (status = 503, description = "The database is away.", body = ProblemBody),
    )
)]
pub(crate) async fn list(
    state: web::Data<State>,
    request: HttpRequest,
    Reader(owner): Reader,
) -> Result<HttpResponse, Problem> {
    let parameters: Parameters = query::parse(&request)?;
    let limit = query::limit(parameters.limit.as_deref())?;
    let token = parameters.next_token;
    let search = Texts {
        status: parameters.status,
        r#type: parameters.r#type,
        endpoint_id: parameters.endpoint_id,
        after: parameters.after,
        before: parameters.before,
        payload: parameters.payload,
    }
    .search()?;
    let bound_to = format!("events {search:?}");
    let tenant = owner.tenant_id.as_str();
    let cursor = page::open(&state, tenant, &bound_to, token.as_deref())?;
    let below = cursor.as_deref().map(position).transpose()?;
    let mut connection = state.search_for_tenant(&owner.tenant_id).await?;
    let found = search.step(&mut connection, &owner, search.range(below), limit, state.clock.now()).await?;
    let next_token =
        found.next.map(|id| page::seal(&state, tenant, &bound_to, id.as_uuid().as_bytes())).transpose()?;
    let mut response = page::response(&request, next_token.as_deref());
    let events: Vec<_> = found.events.into_iter().map(EventInList::from).collect();
    Ok(response.json(EventPage { total_count: events.len(), events, next_token }))
}

fn position(cursor: &[u8]) -> Result<EventId, Problem> {
    let [id] = page::ids(cursor)?;
    Ok(id.into())
}

impl From<EventSummary> for EventInList {
    fn from(event: EventSummary) -> Self {
        Self {
            event_id: event.event_id,
            r#type: event.event_type,
            status: event.status,
            created_at: event.created_at,
            attempts: event.attempts,
            last_attempt_at: event.last_attempt_at,
            next_attempt_at: event.next_attempt_at,
        }
    }
}
