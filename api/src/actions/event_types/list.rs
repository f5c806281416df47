use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use trunkline_domain::EventType;
use trunkline_store::event_types;
use utoipa::{IntoParams, ToSchema};

use crate::auth::Reader;
use crate::problem::{Problem, ProblemBody};
use crate::state::State;
use crate::{page, query};

/// What a token of this list is bound to: there is no filter.
const LIST: &str = "event types";

/// Where to go on.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Parameters {
    /// 1 to 100; 50 if it is not said
    limit: Option<String>,
    /// From the page before
    next_token: Option<String>,
}

/// A page of types by name.
#[derive(Serialize, ToSchema)]
pub(crate) struct EventTypePage {
    event_types: Vec<EventTypeInList>,
    /// For the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
    /// Types on this page.
    total_count: usize,
}

/// A type, without its schema.
#[derive(Serialize, ToSchema)]
pub(crate) struct EventTypeInList {
    #[schema(value_type = String, example = "order.created")]
    r#type: EventType,
    /// What it means.
    description: Option<String>,
    /// Whether it has a schema; the type by itself shows it.
    has_schema: bool,
    /// Whether REST refuses payloads that do not fit the schema.
    enforced: bool,
    /// Events of it are kept so many days; null = as long as the tenant's others.
    retention_days: Option<i32>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

/// List event types
#[utoipa::path(
    operation_id = "listEventTypes",
    get, path = "/v1/event-types", tag = "event types", security(("key" = [])), params(Parameters),
    responses(
        (status = 200, description = "A page.", body = EventTypePage, headers(("Link" = String, description = "`rel=\"next\"`: the next page"))),
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
    let limit = query::limit(parameters.limit.as_deref())?;
    let tenant = owner.tenant_id.as_str();
    let cursor = page::open(&state, tenant, LIST, parameters.next_token.as_deref())?;
    let after = cursor.and_then(|bytes| String::from_utf8(bytes).ok()).and_then(|name| name.parse().ok());
    let mut connection = state.for_tenant(&owner.tenant_id).await?;
    // One more than the page tells whether there is another.
    let rows = i64::try_from(limit + 1).unwrap_or(i64::MAX);
    let mut found = event_types::list(&mut connection, &owner.tenant_id, after.as_ref(), rows).await?;
    let has_more = found.len() > limit;
    found.truncate(limit);
    let last = found.last().filter(|_| has_more);
    let seal = |last: &event_types::DescribedType| {
        page::seal(&state, tenant, LIST, last.event_type.as_str().as_bytes())
    };
    let next_token = last.map(seal).transpose()?;
    let mut response = page::response(&request, next_token.as_deref());
    let event_types: Vec<_> = found.into_iter().map(EventTypeInList::from).collect();
    Ok(response.json(EventTypePage { total_count: event_types.len(), event_types, next_token }))
}

impl From<event_types::DescribedType> for EventTypeInList {
    fn from(found: event_types::DescribedType) -> Self {
        Self {
            r#type: found.event_type,
            description: found.description,
            has_schema: found.has_schema,
            enforced: found.enforced,
            retention_days: found.retention_days,
            created_at: found.created_at,
            updated_at: found.updated_at,
        }
    }
}
