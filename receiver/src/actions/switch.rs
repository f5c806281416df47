use actix_web::{HttpRequest, web};

use super::status::{AllStatus, TenantStatus, all_status, tenant_status};
use crate::address::Address;
use crate::auth;
use crate::problem::{Problem, ProblemBody};
use crate::state::State;

/// Accept a tenant's webhooks again
///
/// Kept in the database: it survives restarts and is seen by every replica within a second.
#[utoipa::path(
    post, path = "/{tenant_id}/enable", tag = "switch", security(("key" = [])),
    params(("tenant_id" = String, Path, description = "The tenant")),
    responses(
        (status = 200, description = "How it stands now.", body = TenantStatus),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "A key of another tenant, or without the scope write.", body = ProblemBody),
        (status = 404, description = "The tenant is unknown.", body = ProblemBody),
    )
)]
pub(crate) async fn enable_tenant(
    state: web::Data<State>,
    request: HttpRequest,
    address: Address,
) -> Result<web::Json<TenantStatus>, Problem> {
    switch_tenant(&state, &request, address, true).await
}

/// Refuse a tenant's webhooks with 503
///
/// Kept in the database: it survives restarts and is seen by every replica within a second.
#[utoipa::path(
    post, path = "/{tenant_id}/disable", tag = "switch", security(("key" = [])),
    params(("tenant_id" = String, Path, description = "The tenant")),
    responses(
        (status = 200, description = "How it stands now.", body = TenantStatus),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "A key of another tenant, or without the scope write.", body = ProblemBody),
        (status = 404, description = "The tenant is unknown.", body = ProblemBody),
    )
)]
pub(crate) async fn disable_tenant(
    state: web::Data<State>,
    request: HttpRequest,
    address: Address,
) -> Result<web::Json<TenantStatus>, Problem> {
    switch_tenant(&state, &request, address, false).await
}

/// Accept webhooks again, of tenants whose own switch is on
#[utoipa::path(
    post, path = "/enable", tag = "switch", security(("key" = [])),
    responses(
        (status = 200, description = "How it stands now.", body = AllStatus),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "Not an operator's key.", body = ProblemBody),
    )
)]
pub(crate) async fn enable_all(
    state: web::Data<State>,
    request: HttpRequest,
) -> Result<web::Json<AllStatus>, Problem> {
    switch_all(&state, &request, true).await
}

/// Refuse every tenant's webhooks with 503
#[utoipa::path(
    post, path = "/disable", tag = "switch", security(("key" = [])),
    responses(
        (status = 200, description = "How it stands now.", body = AllStatus),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "Not an operator's key.", body = ProblemBody),
    )
)]
pub(crate) async fn disable_all(
    state: web::Data<State>,
    request: HttpRequest,
) -> Result<web::Json<AllStatus>, Problem> {
    switch_all(&state, &request, false).await
}

async fn switch_tenant(
    state: &State,
    request: &HttpRequest,
    address: Address,
    enabled: bool,
) -> Result<web::Json<TenantStatus>, Problem> {
    let actor = auth::may_switch(state, request, Some(&address.tenant_id)).await?;
    // Only who may switch a tenant learns from this route whether it exists.
    state.secrets.recent(&address.tenant_id).await?;
    state.switches.switch(Some(&address.tenant_id), enabled, &actor, state.clock.now()).await?;
    tracing::info!(tenant.id = %address.tenant_id, enabled, "reception was switched");
    tenant_status(state, address).await.map(web::Json)
}

async fn switch_all(
    state: &State,
    request: &HttpRequest,
    enabled: bool,
) -> Result<web::Json<AllStatus>, Problem> {
    let actor = auth::may_switch(state, request, None).await?;
    state.switches.switch(None, enabled, &actor, state.clock.now()).await?;
    tracing::info!(enabled, "reception of all tenants was switched");
    all_status(state).await.map(web::Json)
}
