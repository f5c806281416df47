use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use trunkline_store::replays;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::Replay;
use crate::auth::Reader;
use crate::problem::{Problem, ProblemBody};
use crate::state::State;
use crate::{page, query};

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

/// A page of replays, newest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct ReplayPage {
    replays: Vec<Replay>,
    /// For the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
    /// Replays on this page.
    total_count: usize,
}

/// List replays
#[utoipa::path(
    operation_id = "listReplays",
    get, path = "/v1/replays", tag = "replays", security(("key" = [])), params(Parameters),
    responses(
        (status = 200, description = "A page.", body = ReplayPage, headers(("Link" = String, description = "`rel=\"next\"`: the next page"))),
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
    let tenant = owner.tenant_id.as_str();
    let cursor = page::open(&state, tenant, "replays", parameters.next_token.as_deref())?;
    let below = match cursor.as_deref().map(page::ids).transpose()? {
        Some([id]) => id,
        None => Uuid::max(),
    };
    let mut connection = state.search_for_tenant(&owner.tenant_id).await?;
    // One more than is shown tells whether another page follows.
    let rows = i64::try_from(limit + 1).unwrap_or(i64::MAX);
    let mut found = replays::list(&mut connection, &owner.tenant_id, below, rows).await?;
    let has_more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| has_more).map(|last| last.replay_id.as_uuid());
    let next_token = next.map(|id| page::seal(&state, tenant, "replays", id.as_bytes())).transpose()?;
    let mut response = page::response(&request, next_token.as_deref());
    let replays: Vec<_> = found.into_iter().map(Replay::from).collect();
    Ok(response.json(ReplayPage { total_count: replays.len(), replays, next_token }))
}
