use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use trunkline_domain::TenantId;
use trunkline_store::tenants;
use utoipa::{IntoParams, ToSchema};

use super::Tenant;
use crate::auth::Operator;
use crate::problem::{Problem, ProblemBody};
use crate::state::State;
use crate::{page, query};

/// What a token of this list is bound to: there is no filter.
const LIST: &str = "tenants";

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

/// A page of tenants by name.
#[derive(Serialize, ToSchema)]
pub(crate) struct TenantPage {
    tenants: Vec<Tenant>,
    /// For the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
    /// Tenants on this page.
    total_count: usize,
}

/// List tenants
#[utoipa::path(
    operation_id = "listTenants",
    get, path = "/v1/tenants", tag = "tenants", security(("operator" = [])), params(Parameters),
    responses(
        (status = 200, description = "A page.", body = TenantPage, headers(("Link" = String, description = "`rel=\"next\"`: the next page"))),
        (status = 400, description = "A parameter is unknown or has an invalid value.", body = ProblemBody),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "Not an operator's key.", body = ProblemBody),
        (status = 503, description = "The database is away.", body = ProblemBody),
    )
)]
pub(crate) async fn list(
    state: web::Data<State>,
    request: HttpRequest,
    _operator: Operator,
) -> Result<HttpResponse, Problem> {
    let parameters: Parameters = query::parse(&request)?;
    let limit = query::limit(parameters.limit.as_deref())?;
    let cursor = page::open(&state, page::OPERATOR, LIST, parameters.next_token.as_deref())?;
    let after =
        cursor.and_then(|bytes| String::from_utf8(bytes).ok()).and_then(|name| name.parse::<TenantId>().ok());
    let mut connection = state.search_for_operator().await?;
    // One more than the page tells whether there is another.
    let rows = i64::try_from(limit + 1).unwrap_or(i64::MAX);
    let mut found = tenants::list(&mut connection, after.as_ref(), rows).await?;
    let has_more = found.len() > limit;
    found.truncate(limit);
    let last = found.last().filter(|_| has_more);
    let seal =
        |last: &tenants::Tenant| page::seal(&state, page::OPERATOR, LIST, last.tenant_id.as_str().as_bytes());
    let next_token = last.map(seal).transpose()?;
    let mut response = page::response(&request, next_token.as_deref());
    let tenants: Vec<_> = found.into_iter().map(Tenant::from).collect();
    Ok(response.json(TenantPage { total_count: tenants.len(), tenants, next_token }))
}
