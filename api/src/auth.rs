//! Who calls, and what that allows. Actions name what they need as an argument: [`Reader`], [`Writer`], [`Operator`].

mod cache;

use std::time::Instant;

use actix_web::http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use actix_web::{FromRequest, HttpRequest, dev, web};
use futures_util::future::LocalBoxFuture;
use trunkline_boot::clients::Network;
use trunkline_domain::TenantId;
use trunkline_store::api_keys::KeyOwner;
use trunkline_store::audit::Actor;
use trunkline_vault::ApiKey;

pub(crate) use cache::KeyCache;

use crate::metrics::METRICS;
use crate::problem::Problem;
use crate::state::State;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// A tenant whose key has the scope `read`.
pub(crate) struct Reader(pub(crate) KeyOwner);

/// A tenant whose key has the scope `write`.
pub(crate) struct Writer(pub(crate) KeyOwner);

/// Someone who runs the installation.
pub(crate) struct Operator;

/// Anyone with a key.
pub(crate) enum Caller {
    /// Someone who runs the installation.
    Operator,
    /// A tenant.
    Tenant(KeyOwner),
}

impl Caller {
    /// Lets an operator, or the tenant itself with the scope, at a tenant.
    pub(crate) fn may(&self, tenant_id: &TenantId, needs_write: bool) -> Result<(), Problem> {
        match self {
            Self::Operator => Ok(()),
            Self::Tenant(owner) if owner.tenant_id != *tenant_id => Err(Problem::forbidden(
                "foreign_tenant",
                "The key belongs to another tenant than the one of this path.",
            )),
            Self::Tenant(owner) if needs_write => require(owner.may_write),
            Self::Tenant(owner) => require(owner.may_read),
        }
    }
}

fn require(has_scope: bool) -> Result<(), Problem> {
    if has_scope {
        return Ok(());
    }
    Err(Problem::forbidden(
        "insufficient_scope",
        "The key lacks the scope that this route needs; use another key.",
    ))
}

async fn identify(request: &HttpRequest) -> Result<Caller, Problem> {
    let state = request.app_data::<web::Data<State>>().ok_or_else(|| Problem::internal("no state"))?;
    // Whoever sends no key at all guesses none.
    let authorization = authorization(request).ok_or_else(Problem::unauthenticated)?;
    let key = authorization.to_str().ok().and_then(trunkline_vault::bearer).unwrap_or_default();
    if let Some(key) = ApiKey::parse(key) {
        let hash = key.hash();
        let owner = match state.keys.known(&hash, &state.clock).await {
            Some(known) => known,
            // Rare, and as a future so large that every request would pay for moving it.
            None => Box::pin(look_up(state, request, hash)).await?,
        };
        if let Some(owner) = owner {
            return Ok(Caller::Tenant(owner));
        }
    }
    // An operator's key is chosen by a person and may be guessed: even the right one is refused while its address must wait.
    let now = Instant::now();
    let network = network(state, request);
    if let Some(wait) = state.clients.must_wait(network, now) {
        METRICS.failed_logins_throttled.increment(1);
        return Err(Problem::too_many_failed_logins(wait));
    }
    if state.operators.contains(key) {
        return Ok(Caller::Operator);
    }
    state.clients.note_failure(network, now);
    Err(Problem::unauthenticated())
}

/// Who calls, as the audit names them.
pub(crate) async fn actor(request: &HttpRequest) -> Result<Actor, Problem> {
    match identify(request).await? {
        Caller::Operator => {
            Ok(Actor::Operator(trunkline_vault::fingerprint(bearer(request).unwrap_or_default())))
        }
        Caller::Tenant(owner) => Ok(Actor::Key(owner.key_id)),
    }
}

fn bearer(request: &HttpRequest) -> Option<&str> {
    trunkline_vault::bearer(authorization(request)?.to_str().ok()?)
}

/// The header, if it is there once: of two keys, another program on the way may have looked at the other.
fn authorization(request: &HttpRequest) -> Option<&HeaderValue> {
    let mut values = request.headers().get_all(AUTHORIZATION);
    values.next().filter(|_| values.next().is_none())
}

/// The key of a request that was let in, so that what runs long can ask again whether it is good.
pub(crate) fn key_hash(request: &HttpRequest) -> Option<[u8; 32]> {
    Some(ApiKey::parse(bearer(request)?)?.hash())
}

/// Whose key has this hash, by the database. A key cannot be guessed, so a good one is let in from an address that must wait too;
/// looking up is what is bounded then.
async fn look_up(state: &State, request: &HttpRequest, hash: [u8; 32]) -> Result<Option<KeyOwner>, Problem> {
    let _turn = match state.clients.must_wait(network(state, request), Instant::now()) {
        Some(wait) => Some(state.clients.look_up().ok_or_else(|| Problem::too_many_failed_logins(wait))?),
        None => None,
    };
    state.keys.find(&state.pool, &state.clock, hash).await
}

fn network(state: &State, request: &HttpRequest) -> Network {
    let forwarded_for = request.headers().get_all(FORWARDED_FOR).filter_map(|value| value.to_str().ok());
    state.clients.network(request.peer_addr(), forwarded_for.collect::<Vec<_>>().into_iter())
}

async fn tenant(request: &HttpRequest) -> Result<KeyOwner, Problem> {
    match identify(request).await? {
        Caller::Tenant(owner) => Ok(owner),
        Caller::Operator => Err(Problem::forbidden(
            "tenant_only",
            "This route is a tenant's own; an operator's key does not open it.",
        )),
    }
}

/// Makes a type an argument of actions.
macro_rules! extract {
    ($type:ty, |$request:ident| $from:expr) => {
        impl FromRequest for $type {
            type Error = Problem;
            type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

            fn from_request(request: &HttpRequest, _: &mut dev::Payload) -> Self::Future {
                let $request = request.clone();
                Box::pin(async move { $from })
            }
        }
    };
}

extract!(Caller, |request| identify(&request).await);
extract!(Reader, |request| {
    let owner = tenant(&request).await?;
    require(owner.may_read)?;
    Ok(Self(owner))
});
extract!(Writer, |request| {
    let owner = tenant(&request).await?;
    require(owner.may_write)?;
    Ok(Self(owner))
});
extract!(Operator, |request| match identify(&request).await? {
    Caller::Operator => Ok(Self),
    Caller::Tenant(_) => Err(Problem::operator_only()),
});
