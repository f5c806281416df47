use actix_web::http::header::LINK;
use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use trunkline_domain::{EventId, EventStatus, EventType};
use trunkline_store::api_keys::KeyOwner;
use trunkline_store::events::{self, EventFilter, EventSummary, IdRange};
use trunkline_store::{PgConnection, StoreError};
use utoipa::{IntoParams, ToSchema};

use crate::auth::Reader;
use crate::problem::{Problem, ProblemBody};
use crate::state::State;
use crate::{page, query};

/// How many events a filtered page looks at: it bounds what one request costs, and a page may be short for it.
const CANDIDATES_MAX: usize = 1_000;

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
/// Newest first, in pages. Go on with `next_token` until there is none.
#[utoipa::path(
    operation_id = "listEvents",
    get, path = "/v1/events", tag = "events", security(("key" = [])), params(Parameters),
    responses(
        (status = 200, description = "A page.", body = EventPage, headers(("Link" = String, description = "`rel=\"next\"`: the next page"))),
        (status = 400, description = "A parameter is unknown or has an invalid value.", body = ProblemBody),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "The key lacks the scope read.", body = ProblemBody),
        (status = 503, description = "The database is away.", body = ProblemBody),
    )
)]
pub(crate) async fn list(
    state: web::Data<State>,
    request: HttpRequest,
    Reader(owner): Reader,
) -> Result<HttpResponse, Problem> {
    let parameters: Parameters = query::parse(&request)?;
    let filter = filter(&parameters)?;
    let limit = query::limit(parameters.limit.as_deref())?;
    let bound_to = format!("events {filter:?}");
    let tenant = owner.tenant_id.as_str();
    let cursor = page::open(&state, tenant, &bound_to, parameters.next_token.as_deref())?;
    let range = range(&filter, cursor.as_deref())?;
    let mut connection = state.search_pool.acquire().await.map_err(StoreError::from)?;
    let found = find(&mut connection, &owner, &filter, range, limit).await?;
    let next_token =
        found.next.map(|id| page::seal(&state, tenant, &bound_to, id.as_uuid().as_bytes())).transpose()?;
    let mut response = HttpResponse::Ok();
    if let Some(link) = next_token.as_deref().and_then(|token| page::link(&request, token)) {
        response.insert_header((LINK, link));
    }
    let events: Vec<_> = found.events.into_iter().map(EventInList::from).collect();
    Ok(response.json(EventPage { total_count: events.len(), events, next_token }))
}

struct Found {
    events: Vec<EventSummary>,
    /// The last event looked at, if there may be more below it.
    next: Option<EventId>,
}

async fn find(
    connection: &mut PgConnection,
    owner: &KeyOwner,
    filter: &EventFilter,
    range: IdRange,
    limit: usize,
) -> Result<Found, StoreError> {
    let (lane, tenant) = (owner.lane, &owner.tenant_id);
    // Without a filter that only a look at the event decides, one more than the page tells whether there is more.
    let is_filtered = filter.status.is_some() || filter.event_type.is_some() || filter.endpoint_id.is_some();
    let wanted = if is_filtered { CANDIDATES_MAX } else { limit + 1 };
    let count = i64::try_from(wanted).unwrap_or(i64::MAX);
    let candidates = match filter.status {
        Some(EventStatus::Failed) => {
            events::with_status_failed(connection, lane, tenant, range, count).await?
        }
        Some(EventStatus::Pending) => {
            events::with_status_pending(connection, lane, tenant, range, count).await?
        }
        _ => events::with_any_status(connection, lane, tenant, range, count).await?,
    };
    let rows = i64::try_from(limit).unwrap_or(i64::MAX);
    let events = events::summarise(connection, lane, tenant, &candidates, filter, rows).await?;
    let next = if events.len() == limit {
        // The page is full: whatever is below its last event comes next.
        events
            .last()
            .map(|last| last.event_id)
            .filter(|last| candidates.last() != Some(last) || candidates.len() == wanted)
    } else {
        candidates.last().copied().filter(|_| candidates.len() == wanted)
    };
    Ok(Found { events, next })
}

fn filter(parameters: &Parameters) -> Result<EventFilter, Problem> {
    let status = parameters.status.as_deref().map(|word| {
        EventStatus::from_word(word).ok_or_else(|| {
            Problem::bad_query(
                Some("status"),
                "status accepts PENDING, DELIVERED, FAILED, CANCELLED and UNROUTED.",
            )
        })
    });
    Ok(EventFilter {
        status: status.transpose()?,
        event_type: query::value("type", parameters.r#type.as_deref(), "1 to 128 visible ASCII characters")?,
        endpoint_id: query::value(
            "endpoint_id",
            parameters.endpoint_id.as_deref(),
            "an endpoint's id, ep_...",
        )?,
        after: query::time("after", parameters.after.as_deref())?,
        before: query::time("before", parameters.before.as_deref())?,
    })
}

/// Times bound the ids too, which spares the partitions outside.
fn range(filter: &EventFilter, cursor: Option<&[u8]>) -> Result<IdRange, Problem> {
    let mut range = IdRange::ALL;
    if let Some(after) = filter.after {
        range.from = EventId::first_at(after).as_uuid();
    }
    if let Some(before) = filter.before {
        // Ids of that very millisecond are let in; the summary's own filter is exact.
        range.before = EventId::first_at(before + chrono::Duration::milliseconds(1)).as_uuid();
    }
    if let Some(cursor) = cursor {
        let [id] = page::ids(cursor)?;
        range.before = range.before.min(id);
    }
    Ok(range)
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
