use actix_web::http::header::LOCATION;
use actix_web::{HttpResponse, web};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use trunkline_boot::random::random_bytes;
use trunkline_domain::KeyId;
use trunkline_store::StoreError;
use trunkline_store::api_keys::{self, KeyOwner, NewKey};
use trunkline_store::audit::Action;
use trunkline_vault::ApiKey;
use utoipa::ToSchema;

use crate::audit::{Trail, What};
use crate::auth::Writer;
use crate::body::Json;
use crate::problem::{Problem, ProblemBody};
use crate::state::State;

/// Keys of a tenant that are good at one time: enough for a program each, few enough to look through.
const LIVE_MAX: i64 = 100;

/// The longest name, in characters, as the table has it.
const NAME_CHARS_MAX: usize = 100;

/// A key to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyRequest {
    /// What it is for: 1 to 100 characters.
    #[schema(example = "nightly report")]
    name: String,
    /// What it may do; none that the calling key lacks.
    #[schema(min_items = 1)]
    scopes: Vec<Scope>,
    /// From when on it is refused, RFC 3339; absent = never.
    expires_at: Option<DateTime<Utc>>,
}

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = KeyScope)]
pub(crate) enum Scope {
    /// See history.
    Read,
    /// Publish, retry, cancel, change.
    Write,
}

/// A key that is shown this once.
#[derive(Serialize, ToSchema)]
pub(crate) struct CreatedKey {
    #[schema(value_type = String, example = "key_01a20ada2c007abc8123456789abcdef")]
    key_id: KeyId,
    name: String,
    /// Its first characters.
    prefix: String,
    scopes: Vec<Scope>,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    /// Shown once; only its hash is kept.
    api_key: String,
}

/// Create an API key
///
/// The key is shown in this answer and never again.
#[utoipa::path(
    operation_id = "createApiKey",
    post, path = "/v1/api-keys", tag = "API keys", security(("key" = [])),
    request_body = KeyRequest,
    responses(
        (status = 201, description = "Created; the key is shown this once.", body = CreatedKey),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "The calling key lacks the scope write, or one that is asked for.", body = ProblemBody),
        (status = 409, description = "The tenant has 100 keys that are good.", body = ProblemBody),
        (status = 413, description = "The body is too large.", body = ProblemBody),
        (status = 415, description = "The body is not JSON.", body = ProblemBody),
        (status = 422, description = "A field has an invalid value.", body = ProblemBody),
        (status = 503, description = "The database is away.", body = ProblemBody),
    )
)]
pub(crate) async fn create(
    state: web::Data<State>,
    Writer(owner): Writer,
    trail: Trail,
    Json(wanted): Json<KeyRequest>,
) -> Result<HttpResponse, Problem> {
    let now = state.clock.now();
    check(&wanted, &owner, now)?;
    let key = ApiKey::from_random(random_bytes());
    let new = NewKey {
        sha256: key.hash(),
        key_id: KeyId::mint(now, u64::from_ne_bytes(random_bytes())),
        name: &wanted.name,
        prefix: key.shown_prefix(),
        may_read: wanted.scopes.contains(&Scope::Read),
        may_write: wanted.scopes.contains(&Scope::Write),
        expires_at: wanted.expires_at,
    };
    let mut connection = state.for_tenant(&owner.tenant_id).await?;
    if !api_keys::create_within(&mut connection, &owner.tenant_id, &new, LIVE_MAX, now).await? {
        return Err(Problem::too_many_keys(LIVE_MAX));
    }
    let what = What { tenant_id: &owner.tenant_id, target: Some(new.key_id.to_string()) };
    trail.record(&mut connection, Action::CreateKey, what, now).await?;
    connection.commit().await.map_err(StoreError::from)?;
    Ok(HttpResponse::Created().insert_header((LOCATION, "/v1/api-keys")).json(CreatedKey {
        key_id: new.key_id,
        prefix: new.prefix.to_owned(),
        scopes: wanted.scopes,
        created_at: now,
        expires_at: wanted.expires_at,
        api_key: key.expose().to_owned(),
        name: wanted.name,
    }))
}

fn check(wanted: &KeyRequest, owner: &KeyOwner, now: DateTime<Utc>) -> Result<(), Problem> {
    let is_name = (1..=NAME_CHARS_MAX).contains(&wanted.name.chars().count())
        && !wanted.name.chars().any(char::is_control);
    if !is_name {
        return Err(Problem::bad_field(
            "name",
            "name accepts 1 to 100 characters without control characters.",
        ));
    }
    if !matches!(wanted.scopes.as_slice(), [_] | [Scope::Read, Scope::Write] | [Scope::Write, Scope::Read]) {
        return Err(Problem::bad_field("scopes", "scopes accepts read, write or both, each once."));
    }
    if wanted.expires_at.is_some_and(|end| end <= now) {
        return Err(Problem::bad_field("expires_at", "expires_at accepts a time that is still to come."));
    }
    // Else a key that ends would have no end.
    if let Some(end) = owner.expires_at.filter(|own| wanted.expires_at.is_none_or(|end| end > *own)) {
        let detail =
            format!("The calling key ends at {}; expires_at accepts a time up to then.", end.to_rfc3339());
        return Err(Problem::bad_field("expires_at", &detail));
    }
    // Else a key for writing would be one for reading too.
    if wanted.scopes.contains(&Scope::Read) && !owner.may_read {
        return Err(Problem::forbidden(
            "insufficient_scope",
            "A key cannot make one with a scope that it lacks itself.",
        ));
    }
    Ok(())
}
