use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use trunkline_domain::ErasureId;
use trunkline_store::erasures;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::Receipt;
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

/// A page of the receipts of one erasure, newest event first.
#[derive(Serialize, ToSchema)]
pub(crate) struct ReceiptPage {
    #[schema(value_type = String, example = "ers_01a20ada2c007abc8123456789abcdef")]
    erasure_id: ErasureId,
    receipts: Vec<Receipt>,
    /// For the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
    /// Receipts on this page.
    total_count: usize,
}

/// List the receipts of an erasure
#[utoipa::path(
    operation_id = "showErasure",
    get, path = "/v1/erasures/{erasure_id}", tag = "erasures", security(("key" = [])),
    params(("erasure_id" = String, Path, description = "ers_..."), Parameters),
    responses(
        (status = 200, description = "A page.", body = ReceiptPage, headers(("Link" = String, description = "`rel=\"next\"`: the next page"))),
        (status = 400, description = "A parameter is unknown or has an invalid value.", body = ProblemBody),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "The key lacks the scope read.", body = ProblemBody),
        (status = 404, description = "There is none, it erased nothing, or it is another tenant's.", body = ProblemBody),
        (status = 503, description = "The database is away.", body = ProblemBody),
    )
)]
pub(crate) async fn show(
    state: web::Data<State>,
    request: HttpRequest,
    path: web::Path<String>,
    Reader(owner): Reader,
) -> Result<HttpResponse, Problem> {
    let parameters: Parameters = query::parse(&request)?;
    let limit = query::limit(parameters.limit.as_deref())?;
    let erasure_id: ErasureId = path.parse().map_err(|_| Problem::no_erasure())?;
    let (lane, tenant) = (owner.lane, &owner.tenant_id);
    let bound_to = format!("receipts of {erasure_id}");
    let cursor = page::open(&state, tenant.as_str(), &bound_to, parameters.next_token.as_deref())?;
    let [below] = cursor.as_deref().map_or(Ok([Uuid::max()]), page::ids)?;
    let mut connection = state.for_tenant(&owner.tenant_id).await?;
    // One more than the page tells whether there is another.
    let rows = i64::try_from(limit + 1).unwrap_or(i64::MAX);
    let mut found = erasures::receipts(&mut connection, lane, tenant, erasure_id, below, rows).await?;
    if found.is_empty() && below == Uuid::max() {
        return Err(Problem::no_erasure());
    }
    let has_more = found.len() > limit;
    found.truncate(limit);
    let last = found.last().filter(|_| has_more);
    let seal = |last: &erasures::Receipt| {
        page::seal(&state, tenant.as_str(), &bound_to, last.event_id.as_uuid().as_bytes())
    };
    let next_token = last.map(seal).transpose()?;
    let mut response = page::response(&request, next_token.as_deref());
    let receipts: Vec<_> = found.into_iter().map(Receipt::from).collect();
    Ok(response.json(ReceiptPage { erasure_id, total_count: receipts.len(), receipts, next_token }))
}
