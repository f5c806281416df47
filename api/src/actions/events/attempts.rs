use actix_web::web;
use chrono::{DateTime, Utc};
use serde::Serialize;
use trunkline_domain::{EndpointId, EventId};
use trunkline_store::attempts::{self, EventFacts};
use utoipa::ToSchema;

use super::header::Header;
use super::id;
use super::request::Request;
use crate::auth::Reader;
use crate::problem::{Problem, ProblemBody};
use crate::state::State;

/// Every attempt of an event, in the order they started; the first 1,000.
#[derive(Serialize, ToSchema)]
pub(crate) struct AttemptList {
    #[schema(value_type = String)]
    event_id: EventId,
    attempts: Vec<Attempt>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Attempt {
    #[schema(value_type = String)]
    endpoint_id: EndpointId,
    /// From 1, for each endpoint.
    number: u32,
    started_at: DateTime<Utc>,
    /// Null = unknown.
    duration_ms: Option<i32>,
    /// What the endpoint answered; null = no answer.
    status_code: Option<i16>,
    /// succeeded, rejected, timeout, dns_error, tls_error, connection_error, blocked, internal_error, abandoned, superseded
    outcome: String,
    error: Option<String>,
    /// The beginning of the answer's body, at most 4 KiB; what is not UTF-8 is replaced. It is the endpoint's text.
    response_excerpt: Option<String>,
    /// The answer's headers, the first 4 KiB; cookies are masked. Null = no answer, or a success where only those of failures are kept.
    response_headers: Option<Vec<Header>>,
    /// What was called.
    url: Option<String>,
    /// What was sent, or would have been had the connection come about; null = unknown.
    request: Option<Request>,
}

/// List an event's attempts
#[utoipa::path(
    operation_id = "listAttempts",
    get, path = "/v1/events/{event_id}/attempts", tag = "events", security(("key" = [])),
    params(("event_id" = String, Path, description = "evt_...")),
    responses(
        (status = 200, description = "Its attempts.", body = AttemptList),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "The key lacks the scope read.", body = ProblemBody),
        (status = 404, description = "There is none, or it is another tenant's.", body = ProblemBody),
        (status = 503, description = "The database is away.", body = ProblemBody),
    )
)]
pub(crate) async fn list(
    state: web::Data<State>,
    path: web::Path<String>,
    Reader(owner): Reader,
) -> Result<web::Json<AttemptList>, Problem> {
    let event_id = id(&path)?;
    let mut connection = state.for_tenant(&owner.tenant_id).await?;
    let facts = attempts::event_facts(&mut connection, owner.lane, &owner.tenant_id, event_id).await?;
    let facts = facts.ok_or_else(Problem::no_event)?;
    let found = attempts::of_event(&mut connection, owner.lane, &owner.tenant_id, event_id).await?;
    let attempts = found.into_iter().map(|attempt| Attempt::of(event_id, &facts, attempt)).collect();
    Ok(web::Json(AttemptList { event_id, attempts }))
}

impl Attempt {
    fn of(event_id: EventId, facts: &EventFacts, attempt: attempts::Attempt) -> Self {
        Self {
            request: Request::of(event_id, facts, &attempt),
            endpoint_id: attempt.endpoint_id,
            number: attempt.number,
            started_at: attempt.started_at,
            duration_ms: attempt.duration_ms,
            status_code: attempt.status_code,
            outcome: attempt.outcome,
            error: attempt.error,
            response_excerpt: attempt
                .response_excerpt
                .map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
            response_headers: attempt.response_headers.as_deref().map(Header::of_lines),
            url: attempt.url,
        }
    }
}
