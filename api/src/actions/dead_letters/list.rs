use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use trunkline_domain::{EndpointId, EventId, EventType};
use trunkline_store::deliveries::{self, Cursor};
use utoipa::{IntoParams, ToSchema};

use super::{CANDIDATES_MAX, Texts, filter};
use crate::auth::Reader;
use crate::problem::{Problem, ProblemBody};
use crate::state::State;
use crate::{page, query};

/// Which dead letters, and where to go on.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Parameters {
    /// Of this endpoint, `ep_...`
    endpoint_id: Option<String>,
    /// Of events of this exact type
    r#type: Option<String>,
    /// Created later than this, RFC 3339
    after: Option<String>,
    /// Created earlier than this, RFC 3339
    before: Option<String>,
    /// 1 to 100; 50 if it is not said
    limit: Option<String>,
    /// From the page before, with the same filters
    next_token: Option<String>,
}

/// A page of dead letters, newest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct DeadLetterPage {
    dead_letters: Vec<DeadLetter>,
    /// For the next page; absent on the last one. A page may be short, even empty, and still have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
    /// Dead letters on this page.
    total_count: usize,
}

/// A delivery that used up its attempt budget.
#[derive(Serialize, ToSchema)]
pub(crate) struct DeadLetter {
    #[schema(value_type = String)]
    event_id: EventId,
    #[schema(value_type = String)]
    endpoint_id: EndpointId,
    #[schema(value_type = Option<String>)]
    r#type: Option<EventType>,
    target_url: String,
    created_at: DateTime<Utc>,
    attempts: u32,
    last_attempt_at: Option<DateTime<Utc>>,
    last_status_code: Option<i16>,
    last_error: Option<String>,
}

/// List dead letters
#[utoipa::path(
    operation_id = "listDeadLetters",
    get, path = "/v1/dead-letters", tag = "dead letters", security(("key" = [])), params(Parameters),
    responses(
        (status = 200, description = "A page.", body = DeadLetterPage, headers(("Link" = String, description = "`rel=\"next\"`: the next page"))),
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
    let filter = filter(&Texts {
        endpoint_id: parameters.endpoint_id.as_deref(),
        event_type: parameters.r#type.as_deref(),
        after: parameters.after.as_deref(),
        before: parameters.before.as_deref(),
    })?;
    let limit = query::limit(parameters.limit.as_deref())?;
    let bound_to = format!("dead letters {filter:?}");
    let tenant = owner.tenant_id.as_str();
    let cursor = page::open(&state, tenant, &bound_to, parameters.next_token.as_deref())?;
    let below = cursor.as_deref().map(position).transpose()?.unwrap_or(Cursor::TOP);
    let mut connection = state.search_for_tenant(&owner.tenant_id).await?;
    let count = i64::try_from(CANDIDATES_MAX).unwrap_or(i64::MAX);
    let candidates =
        deliveries::dead_letters(&mut connection, owner.lane, &owner.tenant_id, &filter, below, count)
            .await?;
    let looked_at_all = candidates.len() < CANDIDATES_MAX;
    let last_seen = candidates.last().map(|last| last.key.clone());
    let mut matching = candidates.into_iter().filter(|one| one.matches);
    let shown: Vec<_> = matching.by_ref().take(limit).collect();
    let next = match (matching.next(), looked_at_all) {
        (Some(_), _) => shown.last().map(|last| last.key.clone()),
        (None, false) => last_seen,
        (None, true) => None,
    };
    let next_token = next.map(|key| {
        let cursor = [key.event_id.as_uuid().into_bytes(), key.endpoint_id.as_uuid().into_bytes()].concat();
        page::seal(&state, tenant, &bound_to, &cursor)
    });
    let next_token = next_token.transpose()?;
    let mut response = page::response(&request, next_token.as_deref());
    let dead_letters: Vec<_> = shown.into_iter().map(DeadLetter::from).collect();
    Ok(response.json(DeadLetterPage { total_count: dead_letters.len(), dead_letters, next_token }))
}

fn position(cursor: &[u8]) -> Result<Cursor, Problem> {
    let [event_id, endpoint_id] = page::ids(cursor)?;
    Ok(Cursor { event_id, endpoint_id })
}

impl From<deliveries::DeadLetter> for DeadLetter {
    fn from(letter: deliveries::DeadLetter) -> Self {
        Self {
            event_id: letter.key.event_id,
            endpoint_id: letter.key.endpoint_id,
            r#type: letter.event_type,
            target_url: letter.target_url,
            created_at: letter.created_at,
            attempts: letter.attempts,
            last_attempt_at: letter.last_attempt_at,
            last_status_code: letter.last_status_code,
            last_error: letter.last_error,
        }
    }
}
