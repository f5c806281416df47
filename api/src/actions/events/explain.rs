use actix_web::web;
use chrono::{DateTime, Utc};
use serde::Serialize;
use trunkline_domain::{EventId, EventStatus, EventType, payload};
use trunkline_store::endpoints::{self, Question};
use trunkline_store::events;
use utoipa::ToSchema;

use super::id;
use crate::actions::matching::{Case, EndpointVerdict, Unjudged, verdicts};
use crate::auth::Reader;
use crate::problem::{Problem, ProblemBody};
use crate::state::State;

/// Why an event went where it went.
#[derive(Serialize, ToSchema)]
pub(crate) struct Explanation {
    #[schema(value_type = String)]
    event_id: EventId,
    #[schema(value_type = Option<String>)]
    r#type: Option<EventType>,
    #[schema(value_type = String)]
    status: EventStatus,
    created_at: DateTime<Utc>,
    /// Oldest endpoint first.
    endpoints: Vec<EndpointVerdict>,
}

/// Explain an event
///
/// For each endpoint of the tenant: whether it matches the event and why or why not, whether its deliveries wait, and how the
/// event's delivery to it stands. Judged by what the endpoints are set to today; a delivery tells what was decided when the
/// event came.
#[utoipa::path(
    operation_id = "explainEvent",
    get, path = "/v1/events/{event_id}/explain", tag = "events", security(("key" = [])),
    params(("event_id" = String, Path, description = "evt_...")),
    responses(
        (status = 200, description = "The explanation.", body = Explanation),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "The key lacks the scope read.", body = ProblemBody),
        (status = 404, description = "There is none, or it is another tenant's.", body = ProblemBody),
        (status = 429, description = "The tenant's searches use its whole share; see Retry-After.", body = ProblemBody),
        (status = 503, description = "The database is away.", body = ProblemBody),
    )
)]
pub(crate) async fn explain(
    state: web::Data<State>,
    path: web::Path<String>,
    Reader(owner): Reader,
) -> Result<web::Json<Explanation>, Problem> {
    let event_id = id(&path)?;
    let mut connection = state.search_for_tenant(&owner.tenant_id).await?;
    let found = events::find(&mut connection, owner.lane, &owner.tenant_id, event_id).await?;
    let event = found.ok_or_else(Problem::no_event)?;
    let unjudged = match &event.payload {
        None => Some(Unjudged::Erased),
        // What came in by another door and would be refused here is left to PostgreSQL, which judges safely.
        Some(payload) => {
            payload::inspect(payload).ok().and_then(|facts| facts.not_judged).map(Unjudged::NotJudged)
        }
    };
    let question = Question {
        lane: owner.lane,
        tenant_id: &owner.tenant_id,
        event_id: Some(event_id),
        event_type: event.event_type.as_ref(),
        payload: event.payload.as_deref().filter(|_| unjudged.is_none()),
    };
    let considered = endpoints::consider(&mut connection, question).await?;
    let case = Case {
        event_type: event.event_type.as_ref(),
        created_at: Some(event.created_at),
        unjudged,
        now: state.clock.now(),
    };
    Ok(web::Json(Explanation {
        event_id,
        status: EventStatus::over(event.deliveries.iter().map(|delivery| delivery.status)),
        created_at: event.created_at,
        endpoints: verdicts(considered, &case),
        r#type: event.event_type,
    }))
}
