//! Who calls, and what that allows.

use std::time::Instant;

use actix_web::HttpRequest;
use actix_web::http::header::{AUTHORIZATION, HeaderValue};
use trunkline_boot::clients::Network;
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
    // Whoever sends no key at all guesses none.
    let authorization = authorization(request).ok_or_else(Problem::unauthenticated)?;
    let key = authorization.to_str().ok().and_then(trunkline_vault::bearer).unwrap_or_default();
    let (network, now) = (network(state, request), Instant::now());
    let wait = state.clients.must_wait(network, now);
    if let Some(key) = ApiKey::parse(key) {
        // It cannot be guessed, so a good one is let in from an address that must wait too; looking up is what is bounded then.
        let _turn = match wait {
            Some(wait) => Some(state.clients.look_up().ok_or_else(|| Problem::too_many_failed_logins(wait))?),
            None => None,
        };
        let mut connection = state.pool.acquire().await.map_err(StoreError::from)?;
        let owner = api_keys::find_owner(&mut connection, &key.hash(), state.clock.now()).await?;
        if let Some(owner) = owner {
            return Ok(Caller::Tenant(owner));
        }
    }
    // An operator's key is chosen by a person and may be guessed: even the right one is refused while its address must wait.
    if let Some(wait) = wait {
        return Err(Problem::too_many_failed_logins(wait));
    }
    if state.operators.contains(key) {
        return Ok(Caller::Operator(trunkline_vault::fingerprint(key)));
    }
    state.clients.note_failure(network, now);
    Err(Problem::unauthenticated())
}

/// The header, if it is there once: of two keys, another program on the way may have looked at the other.
fn authorization(request: &HttpRequest) -> Option<&HeaderValue> {
    let mut values = request.headers().get_all(AUTHORIZATION);
    values.next().filter(|_| values.next().is_none())
}

fn network(state: &State, request: &HttpRequest) -> Network {
    let forwarded_for = request.headers().get_all("x-forwarded-for").filter_map(|value| value.to_str().ok());
    state.clients.network(request.peer_addr(), forwarded_for.collect::<Vec<_>>().into_iter())
}
