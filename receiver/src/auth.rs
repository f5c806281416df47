//! Who calls, and what that allows.

use actix_web::HttpRequest;
use actix_web::http::header::AUTHORIZATION;
use trunkline_boot::settings::ReceiverControl;
use trunkline_domain::TenantId;
use trunkline_store::StoreError;
use trunkline_store::api_keys::{self, KeyOwner};
use trunkline_store::audit::Actor;
use trunkline_vault::ApiKey;

use crate::problem::Problem;
use crate::state::State;

enum Caller {
    /// As the audit names them.
    Operator(String),
    Tenant(KeyOwner),
}

/// Lets a tenant's key with scope `write` or an operator's key switch that tenant, and only the latter all tenants
/// (`tenant_id` is `None`). Where control is open, anyone may. Returns who it is, for the audit.
///
/// # Errors
/// 401 without a valid key, 403 with one that is not enough.
pub(crate) async fn may_switch(
    state: &State,
    request: &HttpRequest,
    tenant_id: Option<&TenantId>,
) -> Result<Actor, Problem> {
    if state.control == ReceiverControl::Open {
        return Ok(Actor::Anyone);
    }
    match (identify(state, request).await?, tenant_id) {
        (Caller::Operator(fingerprint), _) => Ok(Actor::Operator(fingerprint)),
        (Caller::Tenant(_), None) => {
            Err(Problem::forbidden("operator_only", "Only an operator's key may switch all tenants at once."))
        }
        (Caller::Tenant(owner), Some(tenant_id)) => {
            require_own(&owner, tenant_id)?;
            require(owner.may_write, "The key lacks the scope write, which switching needs.")?;
            Ok(Actor::Key(owner.key_id))
        }
    }
}

/// Lets a tenant's own key with scope `read` see what arrived for it.
///
/// # Errors
/// 401 without a valid key, 403 with one that is not enough.
pub(crate) async fn may_read(
    state: &State,
    request: &HttpRequest,
    tenant_id: &TenantId,
) -> Result<(), Problem> {
    match identify(state, request).await? {
        Caller::Operator(_) => Err(Problem::forbidden(
            "tenant_only",
            "What arrived for a tenant is shown to the tenant's own key only.",
        )),
        Caller::Tenant(owner) => {
            require_own(&owner, tenant_id)?;
            require(owner.may_read, "The key lacks the scope read.")
        }
    }
}

fn require_own(owner: &KeyOwner, tenant_id: &TenantId) -> Result<(), Problem> {
    if owner.tenant_id == *tenant_id {
        return Ok(());
    }
    Err(Problem::forbidden("foreign_tenant", "The key belongs to another tenant than the one of this path."))
}

fn require(has_scope: bool, detail: &'static str) -> Result<(), Problem> {
    if has_scope {
        return Ok(());
    }
    Err(Problem::forbidden("insufficient_scope", detail))
}

async fn identify(state: &State, request: &HttpRequest) -> Result<Caller, Problem> {
    let key = bearer(request).ok_or_else(Problem::unauthenticated)?;
    if state.operators.contains(key) {
        return Ok(Caller::Operator(trunkline_vault::fingerprint(key)));
    }
    let key = ApiKey::parse(key).ok_or_else(Problem::unauthenticated)?;
    let mut connection = state.pool.acquire().await.map_err(StoreError::from)?;
    let owner = api_keys::find_owner(&mut connection, &key.hash(), state.clock.now()).await?;
    owner.map(Caller::Tenant).ok_or_else(Problem::unauthenticated)
}

fn bearer(request: &HttpRequest) -> Option<&str> {
    trunkline_vault::bearer(request.headers().get(AUTHORIZATION)?.to_str().ok()?)
}
