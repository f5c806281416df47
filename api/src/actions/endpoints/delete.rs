use actix_web::web;
use serde::Serialize;
use trunkline_domain::EndpointId;
use trunkline_store::audit::Action;
use trunkline_store::{StoreError, endpoints};
use utoipa::ToSchema;

use super::id;
use crate::audit::{Trail, What};
use crate::auth::Writer;
use crate::problem::{Problem, ProblemBody};
use crate::state::State;

/// What a deletion left.
#[derive(Serialize, ToSchema)]
pub(crate) struct DeletedEndpoint {
    #[schema(value_type = String)]
    pub(crate) endpoint_id: EndpointId,
    /// Deliveries that will not be attempted any more.
    pub(crate) cancelled: u64,
}

/// Delete an endpoint
///
/// Its open deliveries are cancelled; its history stays, and its name is free again. After a 503 ask again: it goes on where it
/// stopped.
#[utoipa::path(
    operation_id = "deleteEndpoint",
    delete, path = "/v1/endpoints/{endpoint_id}", tag = "endpoints", security(("key" = [])),
    params(("endpoint_id" = String, Path, description = "ep_...")),
    responses(
        (status = 200, description = "Deleted.", body = DeletedEndpoint),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "The key lacks the scope write.", body = ProblemBody),
        (status = 404, description = "There is none, or it is another tenant's.", body = ProblemBody),
        (status = 503, description = "The database is away.", body = ProblemBody),
    )
)]
pub(crate) async fn delete(
    state: web::Data<State>,
    path: web::Path<String>,
    Writer(owner): Writer,
    trail: Trail,
) -> Result<web::Json<DeletedEndpoint>, Problem> {
    let endpoint_id = id(&path)?;
    // A thousand deliveries take longer than a point read may.
    let mut connection = state.search_for_tenant(&owner.tenant_id).await?;
    let now = state.clock.now();
    let cancelled =
        endpoints::delete(&mut connection, owner.lane, &owner.tenant_id, endpoint_id, now).await?;
    let cancelled = cancelled.ok_or_else(Problem::no_endpoint)?;
    let what = What { tenant_id: &owner.tenant_id, target: Some(endpoint_id.to_string()) };
    trail.record(&mut connection, Action::DeleteEndpoint, what, now).await?;
    connection.commit().await.map_err(StoreError::from)?;
    Ok(web::Json(DeletedEndpoint { endpoint_id, cancelled }))
}
