use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use trunkline_store::endpoints;
use trunkline_store::endpoints::EndpointDetail;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::Endpoint;
use crate::auth::Reader;
use crate::problem::{Problem, ProblemBody};
use crate::state::State;
use crate::{page, query};

/// What a token of this list is bound to: there is no filter.
const LIST: &str = "endpoints";

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

/// A page of endpoints, newest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct EndpointPage {
    endpoints: Vec<Endpoint>,
    /// For the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
    /// Endpoints on this page.
    total_count: usize,
}

/// List endpoints
///
/// Newest first, in pages.
#[utoipa::path(
    operation_id = "listEndpoints",
    get, path = "/v1/endpoints", tag = "endpoints", security(("key" = [])), params(Parameters),
    responses(
        (status = 200, description = "A page.", body = EndpointPage, headers(("Link" = String, description = "`rel=\"next\"`: the next page"))),
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
    let cursor = page::open(&state, tenant, LIST, parameters.next_token.as_deref())?;
    let before = match cursor {
        Some(cursor) => page::ids::<1>(&cursor)?[0],
        None => Uuid::max(),
    };
    let mut connection = state.search_for_tenant(&owner.tenant_id).await?;
    // One more than the page tells whether there is another.
    let rows = i64::try_from(limit + 1).unwrap_or(i64::MAX);
    let mut found = endpoints::list(&mut connection, &owner.tenant_id, before, rows).await?;
    let has_more = found.len() > limit;
    found.truncate(limit);
    let last = found.last().filter(|_| has_more);
    let seal =
        |last: &EndpointDetail| page::seal(&state, tenant, LIST, last.endpoint_id.as_uuid().as_bytes());
    let next_token = last.map(seal).transpose()?;
    let mut response = page::response(&request, next_token.as_deref());
    let endpoints: Vec<_> = found.into_iter().map(Endpoint::from).collect();
    Ok(response.json(EndpointPage { total_count: endpoints.len(), endpoints, next_token }))
}
