use actix_web::web;
use serde::Serialize;
use trunkline_store::api_keys;
use utoipa::ToSchema;

use super::Key;
use crate::auth::Reader;
use crate::problem::{Problem, ProblemBody};
use crate::state::State;

/// Every key of a tenant, newest first, revoked ones too; the first 1,000.
#[derive(Serialize, ToSchema)]
pub(crate) struct KeyList {
    api_keys: Vec<Key>,
    /// Keys in this list.
    total_count: usize,
}

/// List API keys
#[utoipa::path(
    operation_id = "listApiKeys",
    get, path = "/v1/api-keys", tag = "API keys", security(("key" = [])),
    responses(
        (status = 200, description = "The keys, without themselves.", body = KeyList),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "The key lacks the scope read.", body = ProblemBody),
        (status = 503, description = "The database is away.", body = ProblemBody),
    )
)]
pub(crate) async fn list(
    state: web::Data<State>,
    Reader(owner): Reader,
) -> Result<web::Json<KeyList>, Problem> {
    let mut connection = state.for_tenant(&owner.tenant_id).await?;
    let found = api_keys::list(&mut connection, &owner.tenant_id).await?;
    let api_keys: Vec<_> = found.into_iter().map(Key::from).collect();
    Ok(web::Json(KeyList { total_count: api_keys.len(), api_keys }))
}
