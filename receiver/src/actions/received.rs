use actix_web::{HttpRequest, web};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use trunkline_store::StoreError;
use trunkline_store::receiver::{self, Receipt};
use utoipa::ToSchema;

use crate::address::Address;
use crate::auth;
use crate::problem::{Problem, ProblemBody};
use crate::state::State;

/// How many arrivals are shown unless asked for.
const LIMIT_DEFAULT: u8 = 50;

/// How many are shown at most.
const LIMIT_MAX: u8 = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    limit: Option<u8>,
}

/// The last webhooks that a tenant received, newest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct Arrivals {
    /// The tenant.
    tenant_id: String,
    /// Each webhook id once per path.
    received: Vec<Arrival>,
}

/// A webhook that was verified and accepted.
#[derive(Serialize, ToSchema)]
pub(crate) struct Arrival {
    /// The webhook id; `sha256_` and a hash of the content under Stripe's scheme, which has none.
    id: String,
    /// The header `trunkline-event-type`, which is not signed.
    r#type: Option<String>,
    /// When it first arrived.
    received_at: DateTime<Utc>,
    /// What followed `/webhook/` in the path.
    name: Option<String>,
    /// How often it came again.
    duplicates: i32,
}

impl From<Receipt> for Arrival {
    fn from(receipt: Receipt) -> Self {
        Self {
            id: receipt.webhook_id,
            r#type: receipt.event_type,
            received_at: receipt.received_at,
            name: Some(receipt.path).filter(|path| !path.is_empty()),
            duplicates: receipt.duplicates,
        }
    }
}

/// What arrived for a tenant
#[utoipa::path(
    get, path = "/{tenant_id}/received", tag = "webhooks", security(("key" = [])),
    params(
        ("tenant_id" = String, Path, description = "The tenant"),
        ("limit" = Option<u8>, Query, description = "How many to show, 50 unless said", minimum = 1, maximum = 100),
    ),
    responses(
        (status = 200, description = "The last arrivals, newest first.", body = Arrivals),
        (status = 400, description = "`limit` is not 1 to 100, or another parameter was given.", body = ProblemBody),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "Not a key of this tenant with the scope read.", body = ProblemBody),
        (status = 404, description = "The tenant_id is none.", body = ProblemBody),
    )
)]
pub(crate) async fn received(
    state: web::Data<State>,
    request: HttpRequest,
    address: Address,
) -> Result<web::Json<Arrivals>, Problem> {
    auth::may_read(&state, &request, &address.tenant_id).await?;
    let limit = limit(request.query_string())?;
    let mut connection = state.pool.acquire().await.map_err(StoreError::from)?;
    let receipts = receiver::recent(&mut connection, &address.tenant_id, limit.into()).await?;
    Ok(web::Json(Arrivals {
        tenant_id: address.tenant_id.into(),
        received: receipts.into_iter().map(Arrival::from).collect(),
    }))
}

fn limit(query: &str) -> Result<u8, Problem> {
    let parameters = web::Query::<Parameters>::from_query(query).map_err(|_| {
        Problem::bad_query(None, "The only parameter is limit, once, a whole number from 1 to 100.")
    })?;
    let limit = parameters.limit.unwrap_or(LIMIT_DEFAULT);
    if (1..=LIMIT_MAX).contains(&limit) {
        Ok(limit)
    } else {
        Err(Problem::bad_query(Some("limit"), "limit is a whole number from 1 to 100."))
    }
}
