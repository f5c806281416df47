use std::time::{Duration, Instant};

use actix_web::web;
use serde::Serialize;
use trunkline_domain::EndpointId;
use trunkline_store::api_keys::KeyOwner;
use trunkline_store::audit::Action;
use trunkline_store::{StoreError, deliveries, endpoints};
use utoipa::ToSchema;

use super::id;
use crate::audit::{Trail, What};
use crate::auth::Writer;
use crate::body::NoBody;
use crate::problem::{Problem, ProblemBody};
use crate::state::State;

/// What a deletion left.
#[derive(Serialize, ToSchema)]
pub(crate) struct DeletedEndpoint {
    #[schema(value_type = String)]
    pub(crate) endpoint_id: EndpointId,
    /// Deliveries cancelled so far. None is attempted any more; of more than some ten thousand, workers cancel the rest.
    pub(crate) cancelled: u64,
}

/// Deliveries that one statement cancels: locks are held until it is done.
const CANCELLED_MAX: i64 = 1_000;

/// How long a deletion goes on cancelling before it leaves the rest to the workers.
const CANCELLING: Duration = Duration::from_secs(2);

/// Delete an endpoint
///
/// From then on nothing is delivered to it; its open deliveries are cancelled, its history stays, and its name is free again.
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
    _body: NoBody,
) -> Result<web::Json<DeletedEndpoint>, Problem> {
    let endpoint_id = id(&path)?;
    let mut connection = state.for_tenant(&owner.tenant_id).await?;
    let now = state.clock.now();
    if !endpoints::delete(&mut connection, &owner.tenant_id, endpoint_id, now).await? {
        return Err(Problem::no_endpoint());
    }
    let what = What { tenant_id: &owner.tenant_id, target: Some(endpoint_id.to_string()) };
    trail.record(&mut connection, Action::DeleteEndpoint, what, now).await?;
    connection.commit().await.map_err(StoreError::from)?;
    let cancelled = cancel_open(&state, &owner, endpoint_id).await;
    Ok(web::Json(DeletedEndpoint { endpoint_id, cancelled }))
}

/// Cancels what is open of an endpoint that was deleted, and returns how much. It is deleted whatever comes of this, so a failure is
/// told to nobody but the log.
pub(crate) async fn cancel_open(state: &State, owner: &KeyOwner, endpoint_id: EndpointId) -> u64 {
    let (started, mut cancelled) = (Instant::now(), 0);
    while started.elapsed() < CANCELLING {
        match cancel_some(state, owner, endpoint_id).await {
            Ok(0) => break,
            Ok(count) => cancelled += count,
            Err(error) => {
                tracing::warn!(%error, endpoint.id = %endpoint_id, "open deliveries of a deleted endpoint are left to the workers");
                break;
            }
        }
    }
    cancelled
}

/// A transaction each, so that what was cancelled stays so.
async fn cancel_some(state: &State, owner: &KeyOwner, endpoint_id: EndpointId) -> Result<u64, Problem> {
    let mut connection = state.search_for_tenant(&owner.tenant_id).await?;
    let now = state.clock.now();
    let count = deliveries::cancel_of_deleted(&mut connection, Some(endpoint_id), now, CANCELLED_MAX).await?;
    connection.commit().await?;
    Ok(count)
}
