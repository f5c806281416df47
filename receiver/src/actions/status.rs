use actix_web::web;
use serde::Serialize;
use trunkline_store::receiver::Reception;
use utoipa::ToSchema;

use crate::address::Address;
use crate::problem::{Problem, ProblemBody};
use crate::state::State;

/// How a switch stands.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Switch {
    /// On.
    Enabled,
    /// Off.
    Disabled,
}

impl From<bool> for Switch {
    fn from(on: bool) -> Self {
        if on { Self::Enabled } else { Self::Disabled }
    }
}

/// How reception stands for one tenant.
#[derive(Serialize, ToSchema)]
pub(crate) struct TenantStatus {
    /// The tenant.
    tenant_id: String,
    /// The tenant's own switch.
    webhook_reception: Switch,
    /// The switch of all tenants.
    all_tenants_reception: Switch,
    /// Whether a webhook would be taken now: both are on.
    accepts_webhooks: bool,
}

/// How reception stands for all tenants at once.
#[derive(Serialize, ToSchema)]
pub(crate) struct AllStatus {
    /// The switch of all tenants.
    webhook_reception: Switch,
    /// Whether it is on; a tenant's own switch may still be off.
    accepts_webhooks: bool,
}

/// Whether a tenant's webhooks are accepted
#[utoipa::path(
    get, path = "/{tenant_id}/status", tag = "switch",
    params(("tenant_id" = String, Path, description = "The tenant")),
    responses(
        (status = 200, description = "How its switch and that of all stand.", body = TenantStatus),
        (status = 404, description = "The tenant is unknown.", body = ProblemBody),
    )
)]
pub(crate) async fn of_tenant(
    state: web::Data<State>,
    address: Address,
) -> Result<web::Json<TenantStatus>, Problem> {
    state.secrets.recent(&address.tenant_id).await?;
    tenant_status(&state, address).await.map(web::Json)
}

/// Whether webhooks are accepted at all
#[utoipa::path(
    get, path = "/status", tag = "switch",
    responses((status = 200, description = "How the switch of all tenants stands.", body = AllStatus))
)]
pub(crate) async fn of_all(state: web::Data<State>) -> Result<web::Json<AllStatus>, Problem> {
    all_status(&state).await.map(web::Json)
}

/// The tenant exists: the caller has made sure.
pub(super) async fn tenant_status(state: &State, address: Address) -> Result<TenantStatus, Problem> {
    let Reception { tenant, all } = state.switches.read(Some(&address.tenant_id)).await?;
    Ok(TenantStatus {
        tenant_id: address.tenant_id.into(),
        webhook_reception: tenant.into(),
        all_tenants_reception: all.into(),
        accepts_webhooks: tenant && all,
    })
}

pub(super) async fn all_status(state: &State) -> Result<AllStatus, Problem> {
    let Reception { all, .. } = state.switches.read(None).await?;
    Ok(AllStatus { webhook_reception: all.into(), accepts_webhooks: all })
}
