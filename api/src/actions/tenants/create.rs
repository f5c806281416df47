use actix_web::http::header::LOCATION;
use actix_web::{FromRequest, HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use trunkline_boot::random::random_bytes;
use trunkline_boot::settings::Signup;
use trunkline_domain::{EndpointId, KeyId, TenantId};
use trunkline_signing::Secret;
use trunkline_store::StoreError;
use trunkline_store::api_keys::NewKey;
use trunkline_store::audit::Action;
use trunkline_store::endpoints::NewSecret;
use trunkline_store::tenants::{self, NewTenant};
use trunkline_vault::ApiKey;
use utoipa::ToSchema;

use super::{seal, secret, target_url};
use crate::audit::{Trail, What};
use crate::auth::Operator;
use crate::body::Json;
use crate::problem::{Problem, ProblemBody};
use crate::saving;
use crate::state::State;

/// A tenant to be created.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TenantRequest {
    /// 3 to 50 characters of a-z, 0-9 and -; never given a second time.
    #[schema(example = "acme")]
    tenant_id: String,
    /// Where its events go.
    #[schema(example = "https://example.com/webhooks")]
    target_url: String,
    /// `whsec_` and base64 of 24-64 bytes, or 24-64 visible ASCII characters; one is made where there is none.
    webhook_secret: Option<String>,
}

/// A tenant with the secrets that are shown this once.
#[derive(Serialize, ToSchema)]
pub(crate) struct CreatedTenant {
    #[schema(value_type = String, example = "acme")]
    tenant_id: TenantId,
    target_url: String,
    #[schema(value_type = String)]
    endpoint_id: EndpointId,
    /// Shown once; only its hash is kept.
    api_key: String,
    /// Shown once; kept encrypted.
    webhook_secret: String,
}

/// Create a tenant
#[utoipa::path(
    operation_id = "createTenant",
    post, path = "/v1/tenants", tag = "tenants", security(("operator" = [])),
    request_body = TenantRequest,
    responses(
        (status = 201, description = "Created; key and secret are shown this once.", body = CreatedTenant),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "Not an operator's key.", body = ProblemBody),
        (status = 409, description = "The tenant_id was given before.", body = ProblemBody),
        (status = 413, description = "The body is too large.", body = ProblemBody),
        (status = 415, description = "The body is not JSON.", body = ProblemBody),
        (status = 422, description = "A field has an invalid value.", body = ProblemBody),
        (status = 503, description = "The database is away.", body = ProblemBody),
    )
)]
pub(crate) async fn create(
    state: web::Data<State>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let mut payload = payload.into_inner();
    if state.signup == Signup::Operator {
        Operator::from_request(&request, &mut payload).await?;
    }
    let Json(wanted) = Json::<TenantRequest>::from_request(&request, &mut payload).await?;
    let tenant_id: TenantId =
        wanted.tenant_id.parse().map_err(|error| Problem::bad_field("tenant_id", &format!("{error}.")))?;
    saving::new_tenant(&tenant_id).map_err(|refused| Problem::bad_field("tenant_id", &refused))?;
    let url = target_url(&state, &wanted.target_url)?;
    let secret = match &wanted.webhook_secret {
        Some(text) => secret(text)?,
        None => Secret::generate(random_bytes()),
    };
    let now = state.clock.now();
    let random = || u64::from_ne_bytes(random_bytes());
    let endpoint_id = EndpointId::mint(now, random());
    let sealed = seal(&state, &tenant_id, endpoint_id, &secret)?;
    let key = ApiKey::from_random(random_bytes());
    let new = NewTenant {
        tenant_id: &tenant_id,
        endpoint_id,
        url: url.as_str(),
        secret: NewSecret {
            secret_id: EndpointId::mint(now, random()).as_uuid(),
            key_id: &sealed.key_id,
            sealed: &sealed.bytes,
        },
        key: NewKey {
            sha256: key.hash(),
            key_id: KeyId::mint(now, random()),
            name: "first key",
            prefix: key.shown_prefix(),
            may_read: true,
            may_write: true,
            expires_at: None,
        },
        created_at: now,
    };
    let mut connection = state.for_operator().await?;
    if !tenants::create(&mut connection, &new).await? {
        return Err(Problem::tenant_exists(&tenant_id));
    }
    let what = What { tenant_id: &tenant_id, target: None };
    Trail::of(&request).await?.record(&mut connection, Action::CreateTenant, what, now).await?;
    connection.commit().await.map_err(StoreError::from)?;
    Ok(HttpResponse::Created().insert_header((LOCATION, format!("/v1/tenants/{tenant_id}"))).json(
        CreatedTenant {
            target_url: url.as_str().to_owned(),
            endpoint_id,
            api_key: key.expose().to_owned(),
            webhook_secret: secret.expose().to_owned(),
            tenant_id,
        },
    ))
}
