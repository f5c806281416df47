use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use trunkline_domain::{EndpointId, EventId};
use trunkline_store::attempts::{self, EventFacts, Position};
use utoipa::{IntoParams, ToSchema};

use super::header::Header;
use super::id;
use super::request::Request;
use crate::auth::Reader;
use crate::problem::{Problem, ProblemBody};
use crate::state::State;
use crate::{page, query};

/// Where to go on.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Parameters {
    /// 1 to 1000; 1000 if it is not said
    limit: Option<String>,
    /// From the page before
    next_token: Option<String>,
}

/// The attempts of an event, in the order they started.
#[derive(Serialize, ToSchema)]
pub(crate) struct AttemptPage {
    #[schema(value_type = String)]
    event_id: EventId,
    attempts: Vec<Attempt>,
    /// For the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
    /// Attempts on this page.
    total_count: usize,
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
    params(("event_id" = String, Path, description = "evt_..."), Parameters),
    responses(
        (status = 200, description = "A page of its attempts.", body = AttemptPage, headers(("Link" = String, description = "`rel=\"next\"`: the next page"))),
        (status = 400, description = "A parameter is unknown or has an invalid value.", body = ProblemBody),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "The key lacks the scope read.", body = ProblemBody),
        (status = 404, description = "There is none, or it is another tenant's.", body = ProblemBody),
        (status = 503, description = "The database is away.", body = ProblemBody),
    )
)]
pub(crate) async fn list(
    state: web::Data<State>,
    request: HttpRequest,
    path: web::Path<String>,
    Reader(owner): Reader,
) -> Result<HttpResponse, Problem> {
    let event_id = id(&path)?;
    let parameters: Parameters = query::parse(&request)?;
    let limit = query::limit_within(parameters.limit.as_deref(), query::ATTEMPTS_MAX, query::ATTEMPTS_MAX)?;
    let (tenant, bound_to) = (owner.tenant_id.as_str(), format!("attempts of {event_id}"));
    let cursor = page::open(&state, tenant, &bound_to, parameters.next_token.as_deref())?;
    let after = cursor.as_deref().map(position).transpose()?;
    let mut connection = state.for_tenant(&owner.tenant_id).await?;
    let facts = attempts::event_facts(&mut connection, owner.lane, &owner.tenant_id, event_id).await?;
    let facts = facts.ok_or_else(Problem::no_event)?;
    let (lane, one_more) = (owner.lane, i64::try_from(limit + 1).unwrap_or(i64::MAX));
    let mut found =
        attempts::of_event(&mut connection, lane, &owner.tenant_id, event_id, after, one_more).await?;
    let goes_on = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| goes_on).map(|last| cursor_of(last.position()));
    let next_token = next.map(|cursor| page::seal(&state, tenant, &bound_to, &cursor)).transpose()?;
    let attempts: Vec<_> = found.into_iter().map(|attempt| Attempt::of(event_id, &facts, attempt)).collect();
    let mut response = page::response(&request, next_token.as_deref());
    Ok(response.json(AttemptPage { event_id, total_count: attempts.len(), attempts, next_token }))
}

/// Microseconds, which is all that the database keeps; number; endpoint.
fn cursor_of(position: Position) -> Vec<u8> {
    let Position { started_at, endpoint_id, number } = position;
    let (at, endpoint_id) = (started_at.timestamp_micros().to_be_bytes(), endpoint_id.as_uuid().into_bytes());
    [at.as_slice(), &number.to_be_bytes(), &endpoint_id].concat()
}

fn position(cursor: &[u8]) -> Result<Position, Problem> {
    let read = || {
        let (at, rest) = cursor.split_first_chunk::<8>()?;
        let (number, endpoint_id) = rest.split_first_chunk::<4>()?;
        Some(Position {
            started_at: DateTime::from_timestamp_micros(i64::from_be_bytes(*at))?,
            endpoint_id: EndpointId::from(uuid::Uuid::from_slice(endpoint_id).ok()?),
            number: u32::from_be_bytes(*number),
        })
    };
    read().ok_or_else(|| Problem::bad_query(Some("next_token"), "next_token is of another list."))
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
