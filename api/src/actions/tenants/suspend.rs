use actix_web::web;
use serde::Serialize;
use trunkline_domain::TenantId;
use trunkline_store::StoreError;
use trunkline_store::audit::Action;
use trunkline_store::tenants::{self, TenantStatus};
use utoipa::ToSchema;

use super::id;
use crate::audit::{Trail, What};
use crate::auth::Operator;
use crate::body::NoBody;
use crate::problem::{Problem, ProblemBody};
use crate::state::State;

/// A tenant's status after the switch.
#[derive(Serialize, ToSchema)]
pub(crate) struct SwitchedTenant {
    #[schema(value_type = String, example = "acme")]
    tenant_id: TenantId,
    #[schema(example = "SUSPENDED")]
    status: &'static str,
}

/// Suspend a tenant
///
/// It publishes nothing and its deliveries wait; reading works. In effect within five seconds.
#[utoipa::path(
    operation_id = "suspendTenant",
    post, path = "/v1/tenants/{tenant_id}/suspend", tag = "tenants", security(("operator" = [])),
    params(("tenant_id" = String, Path, description = "The tenant")),
    responses(
        (status = 200, description = "Suspended.", body = SwitchedTenant),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "Not an operator's key.", body = ProblemBody),
        (status = 404, description = "There is none.", body = ProblemBody),
        (status = 503, description = "The database is away.", body = ProblemBody),
    )
)]
pub(crate) async fn suspend(
    state: web::Data<State>,
    path: web::Path<String>,
    _operator: Operator,
    trail: Trail,
    _body: NoBody,
) -> Result<web::Json<SwitchedTenant>, Problem> {
    switch(&state, (id(&path)?, &trail), TenantStatus::Suspended).await
}

/// Resume a tenant
#[utoipa::path(
    operation_id = "resumeTenant",
    post, path = "/v1/tenants/{tenant_id}/resume", tag = "tenants", security(("operator" = [])),
    params(("tenant_id" = String, Path, description = "The tenant")),
    responses(
        (status = 200, description = "Active again.", body = SwitchedTenant),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "Not an operator's key.", body = ProblemBody),
        (status = 404, description = "There is none.", body = ProblemBody),
        (status = 503, description = "The database is away.", body = ProblemBody),
    )
)]
pub(crate) async fn resume(
    state: web::Data<State>,
    path: web::Path<String>,
    _operator: Operator,
    trail: Trail,
    _body: NoBody,
) -> Result<web::Json<SwitchedTenant>, Problem> {
    switch(&state, (id(&path)?, &trail), TenantStatus::Active).await
}

async fn switch(
    state: &State,
    (tenant_id, trail): (TenantId, &Trail),
    status: TenantStatus,
) -> Result<web::Json<SwitchedTenant>, Problem> {
    let mut connection = state.for_operator().await?;
    let now = state.clock.now();
    if !tenants::set_status(&mut connection, &tenant_id, status, now).await? {
        return Err(Problem::no_tenant());
    }
    let is_active = status == TenantStatus::Active;
    let action = if is_active { Action::ResumeTenant } else { Action::SuspendTenant };
    trail.record(&mut connection, action, What { tenant_id: &tenant_id, target: None }, now).await?;
    connection.commit().await.map_err(StoreError::from)?;
    state.waker.wake();
    Ok(web::Json(SwitchedTenant { tenant_id, status: status.as_str() }))
}
