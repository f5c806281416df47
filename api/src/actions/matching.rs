//! Which endpoints an event goes to, and why: for an event of the past, or tried out without one.

mod verdict;

use actix_web::{HttpRequest, web};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use trunkline_domain::{EventType, payload};
use trunkline_store::endpoints::{self, Question};
use utoipa::ToSchema;

pub(crate) use verdict::{Case, EndpointVerdict, Unjudged, verdicts};

use crate::auth::Reader;
use crate::body;
use crate::problem::{Problem, ProblemBody};
use crate::state::State;

/// What a body has beside the payload.
const FRAME_BYTES_MAX: usize = 1_024;

/// An event that might be published.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Draft {
    /// Else the payload's string member `type`, else `event`, as when publishing.
    #[schema(value_type = Option<String>)]
    r#type: Option<EventType>,
    /// Any JSON object.
    #[schema(value_type = serde_json::Value)]
    payload: Box<RawValue>,
}

/// Where an event would go.
#[derive(Serialize, ToSchema)]
pub(crate) struct Matched {
    /// The type it would have.
    #[schema(value_type = Option<String>)]
    r#type: Option<EventType>,
    /// Endpoints that it would be delivered to.
    matching: usize,
    /// Oldest endpoint first.
    endpoints: Vec<EndpointVerdict>,
}

/// Try out an event
///
/// Says for each endpoint whether the event would be delivered to it, and why. Nothing is published or stored.
#[utoipa::path(
    operation_id = "matchEvent",
    post, path = "/v1/match", tag = "events", security(("key" = [])),
    request_body = Draft,
    responses(
        (status = 200, description = "Where it would go.", body = Matched),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "The key lacks the scope read.", body = ProblemBody),
        (status = 413, description = "The body is too large.", body = ProblemBody),
        (status = 415, description = "The body is not JSON.", body = ProblemBody),
        (status = 422, description = "Publishing would refuse it.", body = ProblemBody),
        (status = 429, description = "The tenant's searches use its whole share; see Retry-After.", body = ProblemBody),
        (status = 503, description = "The database is away.", body = ProblemBody),
    )
)]
pub(crate) async fn try_out(
    state: web::Data<State>,
    request: HttpRequest,
    Reader(owner): Reader,
    body: web::Payload,
) -> Result<web::Json<Matched>, Problem> {
    let body = body::read(&request, body, state.payload_bytes_max + FRAME_BYTES_MAX).await?;
    let draft: Draft = body::object(&body.bytes)?;
    let text = draft.payload.get();
    if text.len() > state.payload_bytes_max {
        return Err(Problem::too_large(state.payload_bytes_max));
    }
    let facts = payload::inspect(text.as_bytes()).map_err(Problem::unusable_payload)?;
    let unjudged = facts.not_judged.map(Unjudged::NotJudged);
    let event_type = match draft.r#type {
        Some(named) => Some(named),
        None => facts.event_type().map_err(|error| {
            Problem::bad_field(
                "payload",
                &format!("The payload's member type (or event) is no event type: {error}."),
            )
        })?,
    };
    let question = Question {
        lane: owner.lane,
        tenant_id: &owner.tenant_id,
        event_id: None,
        event_type: event_type.as_ref(),
        payload: Some(text.as_bytes()).filter(|_| unjudged.is_none()),
    };
    let mut connection = state.search_for_tenant(&owner.tenant_id).await?;
    let considered = endpoints::consider(&mut connection, question).await?;
    let case = Case { event_type: event_type.as_ref(), created_at: None, unjudged, now: state.clock.now() };
    let endpoints = verdicts(considered, &case);
    let matching = endpoints.iter().filter(|one| one.matches).count();
    Ok(web::Json(Matched { r#type: event_type, matching, endpoints }))
}
