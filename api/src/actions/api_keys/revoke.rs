use actix_web::web;
use serde::Serialize;
use trunkline_domain::KeyId;
use trunkline_store::audit::Action;
use trunkline_store::{StoreError, api_keys};
use utoipa::ToSchema;

use super::Key;
use crate::audit::{Trail, What};
use crate::auth::Writer;
use crate::body::NoBody;
use crate::problem::{Problem, ProblemBody};
use crate::state::State;

/// A key after its revocation.
#[derive(Serialize, ToSchema)]
pub(crate) struct RevokedKey {
    api_key: Key,
}

/// Revoke an API key
///
/// It is refused here at once and by every other process within five seconds. A key may revoke itself. One that was
/// revoked before keeps its time.
#[utoipa::path(
    operation_id = "revokeApiKey",
    delete, path = "/v1/api-keys/{key_id}", tag = "API keys", security(("key" = [])),
    params(("key_id" = String, Path, description = "key_...")),
    responses(
        (status = 200, description = "Revoked.", body = RevokedKey),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "The key lacks the scope write.", body = ProblemBody),
        (status = 404, description = "There is none, or it is another tenant's.", body = ProblemBody),
        (status = 503, description = "The database is away.", body = ProblemBody),
    )
)]
pub(crate) async fn revoke(
    state: web::Data<State>,
    path: web::Path<String>,
    Writer(owner): Writer,
    trail: Trail,
    _body: NoBody,
) -> Result<web::Json<RevokedKey>, Problem> {
    let key_id: KeyId = path.parse().map_err(|_| Problem::no_key())?;
    let mut connection = state.for_tenant(&owner.tenant_id).await?;
    let now = state.clock.now();
    let revoked = api_keys::revoke(&mut connection, &owner.tenant_id, key_id, now).await?;
    let revoked = revoked.ok_or_else(Problem::no_key)?;
    if !revoked.was_revoked {
        let what = What { tenant_id: &owner.tenant_id, target: Some(key_id.to_string()) };
        trail.record(&mut connection, Action::RevokeKey, what, now).await?;
    }
    connection.commit().await.map_err(StoreError::from)?;
    state.keys.forget(&revoked.sha256).await;
    Ok(web::Json(RevokedKey { api_key: revoked.key.into() }))
}
