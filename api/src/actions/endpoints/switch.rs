use actix_web::web;
use trunkline_store::StoreError;
use trunkline_store::api_keys::KeyOwner;
use trunkline_store::audit::Action;
use trunkline_store::endpoints;

use super::{OneEndpoint, id, shown};
use crate::audit::{Trail, What};
use crate::auth::Writer;
use crate::body::NoBody;
use crate::problem::{Problem, ProblemBody};
use crate::state::State;

/// Enable an endpoint
///
/// New events match it, what waited is attempted, and its failures are forgotten.
#[utoipa::path(
    operation_id = "enableEndpoint",
    post, path = "/v1/endpoints/{endpoint_id}/enable", tag = "endpoints", security(("key" = [])),
    params(("endpoint_id" = String, Path, description = "ep_...")),
    responses(
        (status = 200, description = "Enabled, maybe before.", body = OneEndpoint),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "The key lacks the scope write.", body = ProblemBody),
        (status = 404, description = "There is none, or it is another tenant's.", body = ProblemBody),
        (status = 503, description = "The database is away.", body = ProblemBody),
    )
)]
pub(crate) async fn enable(
    state: web::Data<State>,
    path: web::Path<String>,
    Writer(owner): Writer,
    trail: Trail,
    _body: NoBody,
) -> Result<web::Json<OneEndpoint>, Problem> {
    turn(&state, (&owner, &trail), &path, Switch::Enable).await
}

/// Disable an endpoint
///
/// New events do not match it; its open deliveries wait until it is enabled, or 30 days are over.
#[utoipa::path(
    operation_id = "disableEndpoint",
    post, path = "/v1/endpoints/{endpoint_id}/disable", tag = "endpoints", security(("key" = [])),
    params(("endpoint_id" = String, Path, description = "ep_...")),
    responses(
        (status = 200, description = "Disabled, maybe before.", body = OneEndpoint),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "The key lacks the scope write.", body = ProblemBody),
        (status = 404, description = "There is none, or it is another tenant's.", body = ProblemBody),
        (status = 503, description = "The database is away.", body = ProblemBody),
    )
)]
pub(crate) async fn disable(
    state: web::Data<State>,
    path: web::Path<String>,
    Writer(owner): Writer,
    trail: Trail,
    _body: NoBody,
) -> Result<web::Json<OneEndpoint>, Problem> {
    turn(&state, (&owner, &trail), &path, Switch::Disable).await
}

/// Pause an endpoint
///
/// Deliveries are made for it and wait until it is resumed.
#[utoipa::path(
    operation_id = "pauseEndpoint",
    post, path = "/v1/endpoints/{endpoint_id}/pause", tag = "endpoints", security(("key" = [])),
    params(("endpoint_id" = String, Path, description = "ep_...")),
    responses(
        (status = 200, description = "Paused, maybe before.", body = OneEndpoint),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "The key lacks the scope write.", body = ProblemBody),
        (status = 404, description = "There is none, or it is another tenant's.", body = ProblemBody),
        (status = 503, description = "The database is away.", body = ProblemBody),
    )
)]
pub(crate) async fn pause(
    state: web::Data<State>,
    path: web::Path<String>,
    Writer(owner): Writer,
    trail: Trail,
    _body: NoBody,
) -> Result<web::Json<OneEndpoint>, Problem> {
    turn(&state, (&owner, &trail), &path, Switch::Pause).await
}

/// Resume an endpoint
///
/// Ends a pause by hand; one that the endpoint asked for by Retry-After stays.
#[utoipa::path(
    operation_id = "resumeEndpoint",
    post, path = "/v1/endpoints/{endpoint_id}/resume", tag = "endpoints", security(("key" = [])),
    params(("endpoint_id" = String, Path, description = "ep_...")),
    responses(
        (status = 200, description = "Not paused by hand, maybe before.", body = OneEndpoint),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "The key lacks the scope write.", body = ProblemBody),
        (status = 404, description = "There is none, or it is another tenant's.", body = ProblemBody),
        (status = 503, description = "The database is away.", body = ProblemBody),
    )
)]
pub(crate) async fn resume(
    state: web::Data<State>,
    path: web::Path<String>,
    Writer(owner): Writer,
    trail: Trail,
    _body: NoBody,
) -> Result<web::Json<OneEndpoint>, Problem> {
    turn(&state, (&owner, &trail), &path, Switch::Resume).await
}

#[derive(Clone, Copy)]
enum Switch {
    Enable,
    Disable,
    Pause,
    Resume,
}

async fn turn(
    state: &State,
    (owner, trail): (&KeyOwner, &Trail),
    path: &str,
    switch: Switch,
) -> Result<web::Json<OneEndpoint>, Problem> {
    let (tenant, endpoint_id, now) = (&owner.tenant_id, id(path)?, state.clock.now());
    let mut connection = state.for_tenant(&owner.tenant_id).await?;
    let is_there = match switch {
        Switch::Enable => endpoints::enable(&mut connection, tenant, endpoint_id, now).await?,
        Switch::Disable => endpoints::disable(&mut connection, tenant, endpoint_id, now).await?,
        Switch::Pause => endpoints::set_paused(&mut connection, tenant, endpoint_id, true, now).await?,
        Switch::Resume => endpoints::set_paused(&mut connection, tenant, endpoint_id, false, now).await?,
    };
    if !is_there {
        return Err(Problem::no_endpoint());
    }
    let action = match switch {
        Switch::Enable => Action::EnableEndpoint,
        Switch::Disable => Action::DisableEndpoint,
        Switch::Pause => Action::PauseEndpoint,
        Switch::Resume => Action::ResumeEndpoint,
    };
    let what = What { tenant_id: tenant, target: Some(endpoint_id.to_string()) };
    trail.record(&mut connection, action, what, now).await?;
    let endpoint = shown(&mut connection, tenant, endpoint_id).await?;
    connection.commit().await.map_err(StoreError::from)?;
    if matches!(switch, Switch::Enable | Switch::Resume) {
        state.waker.wake();
    }
    Ok(web::Json(OneEndpoint::new(endpoint)))
}
