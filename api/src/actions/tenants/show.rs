use actix_web::web;
use serde::Serialize;
use trunkline_domain::TenantId;
use trunkline_store::tenants::{self, TenantStatus};
use utoipa::ToSchema;

use super::{Tenant, id};
use crate::auth::{Caller, Reader};
use crate::problem::{Problem, ProblemBody};
use crate::state::State;

/// A tenant, without its secrets.
#[derive(Serialize, ToSchema)]
pub(crate) struct TenantAnswer {
    tenant: Tenant,
}

/// Show one's own tenant
#[utoipa::path(
    operation_id = "showOwnTenant",
    get, path = "/v1/tenants/current", tag = "tenants", security(("key" = [])),
    responses(
        (status = 200, description = "The tenant of the key.", body = TenantAnswer),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "The key lacks the scope read.", body = ProblemBody),
        (status = 503, description = "The database is away.", body = ProblemBody),
    )
)]
pub(crate) async fn current(
    state: web::Data<State>,
    Reader(owner): Reader,
) -> Result<web::Json<TenantAnswer>, Problem> {
    find(&state, &owner.tenant_id).await
}

/// Show a tenant
#[utoipa::path(
    operation_id = "showTenant",
    get, path = "/v1/tenants/{tenant_id}", tag = "tenants", security(("key" = []), ("operator" = [])),
    params(("tenant_id" = String, Path, description = "The tenant; a tenant's key opens its own only")),
    responses(
        (status = 200, description = "The tenant.", body = TenantAnswer),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "Another tenant's, or the key lacks the scope read.", body = ProblemBody),
        (status = 404, description = "There is none (shown to operators only).", body = ProblemBody),
        (status = 503, description = "The database is away.", body = ProblemBody),
    )
)]
pub(crate) async fn show(
    state: web::Data<State>,
    path: web::Path<String>,
    caller: Caller,
) -> Result<web::Json<TenantAnswer>, Problem> {
    let tenant_id = id(&path)?;
    caller.may(&tenant_id, false)?;
    find(&state, &tenant_id).await
}

async fn find(state: &State, tenant_id: &TenantId) -> Result<web::Json<TenantAnswer>, Problem> {
    let mut connection = state.for_tenant(tenant_id).await?;
    let found = tenants::find(&mut connection, tenant_id).await?;
    let tenant =
        found.filter(|tenant| tenant.status != TenantStatus::Deleted).ok_or_else(Problem::no_tenant)?;
    Ok(web::Json(TenantAnswer { tenant: tenant.into() }))
}
