//! Who did something, for the audit.

use actix_web::http::header::AUTHORIZATION;
use actix_web::{FromRequest, HttpMessage, HttpRequest, dev};
use chrono::{DateTime, Utc};
use futures_util::future::LocalBoxFuture;
use trunkline_domain::TenantId;
use trunkline_store::audit::{self, Action, Actor, Entry};
use trunkline_store::{Connection, StoreError};

use crate::auth;
use crate::frame::RequestId;
use crate::problem::Problem;

/// Whoever called, and the request, as the audit names them. It lets nobody in: an action asks for that beside it.
pub(crate) struct Trail {
    actor: Actor,
    request_id: Option<RequestId>,
}

/// What it was done to.
pub(crate) struct What<'a> {
    pub(crate) tenant_id: &'a TenantId,
    /// An endpoint or a key, by its id.
    pub(crate) target: Option<String>,
}

impl Trail {
    /// Of a request whose key was looked up a moment ago. One that came without a key is anyone's.
    ///
    /// # Errors
    /// When it came with one that is not let in: then nothing is done in its name, and nothing in nobody's.
    pub(crate) async fn of(request: &HttpRequest) -> Result<Self, Problem> {
        let request_id = request.extensions().get::<RequestId>().cloned();
        let is_anyone = !request.headers().contains_key(AUTHORIZATION);
        let actor = if is_anyone { Actor::Anyone } else { auth::actor(request).await? };
        Ok(Self { actor, request_id })
    }

    /// Writes down what the transaction does.
    ///
    /// # Errors
    /// When the database is not available.
    pub(crate) async fn record(
        &self,
        connection: &mut Connection,
        action: Action,
        what: What<'_>,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let entry = Entry {
            actor: &self.actor,
            action,
            tenant_id: Some(what.tenant_id),
            target: what.target,
            request_id: self.request_id.as_ref().map(RequestId::as_str),
        };
        audit::record(connection, entry, now).await
    }
}

impl FromRequest for Trail {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut dev::Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move { Self::of(&request).await })
    }
}
