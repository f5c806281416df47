use actix_web::http::header::HeaderMap;
use actix_web::{HttpRequest, web};
use serde::Serialize;
use trunkline_domain::EventType;
use trunkline_store::StoreError;
use trunkline_store::receiver::{self, Seen};
use utoipa::ToSchema;

use crate::address::Address;
use crate::metrics::count_webhook;
use crate::problem::{Problem, ProblemBody};
use crate::state::State;
use crate::{body, signature};

/// The header that names what happened.
const EVENT_TYPE: &str = "trunkline-event-type";

/// A webhook was verified and recorded.
#[derive(Serialize, ToSchema)]
pub(crate) struct Received {
    /// Always `received`.
    #[schema(example = "received")]
    status: &'static str,
    /// The tenant.
    tenant_id: String,
    /// There, and true, if it had arrived before on this path: it has no second effect.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    duplicate: bool,
}

/// Receive a webhook
///
/// Signed under Standard Webhooks, Stripe's scheme or both, with any secret that is valid now for an endpoint of the
/// tenant. Judged in this order: size, tenant, switch, signature.
#[utoipa::path(
    post, path = "/{tenant_id}/webhook", tag = "webhooks",
    params(
        ("tenant_id" = String, Path, description = "The tenant"),
        ("webhook-id" = Option<String>, Header, description = "Names the fact (Standard Webhooks)"),
        ("webhook-timestamp" = Option<String>, Header, description = "Unix seconds (Standard Webhooks)"),
        ("webhook-signature" = Option<String>, Header, description = "`v1,<base64>`, separated by spaces (Standard Webhooks)"),
        ("Stripe-Signature" = Option<String>, Header, description = "`t=<unix>,v1=<hex>` (Stripe's scheme)"),
        ("trunkline-event-type" = Option<String>, Header, description = "What happened"),
    ),
    request_body(content = serde_json::Value, content_type = "application/json", description = "Anything, up to 1 MiB"),
    responses(
        (status = 200, description = "Verified and recorded.", body = Received),
        (status = 401, description = "The signature is missing or wrong, or its time is over 300 s away.", body = ProblemBody),
        (status = 404, description = "The tenant is unknown.", body = ProblemBody),
        (status = 413, description = "The body is over 1 MiB.", body = ProblemBody),
        (status = 503, description = "Switched off, or the database is away; see Retry-After.", body = ProblemBody),
    )
)]
pub(crate) async fn webhook(
    state: web::Data<State>,
    request: HttpRequest,
    address: Address,
    payload: web::Payload,
) -> Result<web::Json<Received>, Problem> {
    let result = receive(&state, &request, &address, payload).await;
    let label = match &result {
        Ok(Seen::First) => "received",
        Ok(Seen::Again) => "duplicate",
        Err(problem) => problem.code,
    };
    count_webhook(label);
    let duplicate = result? == Seen::Again;
    Ok(web::Json(Received { status: "received", tenant_id: address.tenant_id.into(), duplicate }))
}

/// Receive a webhook on a path of its own
///
/// Like `/{tenant_id}/webhook`, with a memory of its own for duplicates: for tenants with several endpoints.
#[utoipa::path(
    post, path = "/{tenant_id}/webhook/{name}", tag = "webhooks",
    params(
        ("tenant_id" = String, Path, description = "The tenant"),
        ("name" = String, Path, description = "1-100 characters of A-Za-z0-9._-"),
    ),
    request_body(content = serde_json::Value, content_type = "application/json", description = "Anything, up to 1 MiB"),
    responses(
        (status = 200, description = "Verified and recorded.", body = Received),
        (status = 401, description = "The signature is missing or wrong, or its time is over 300 s away.", body = ProblemBody),
        (status = 404, description = "The tenant is unknown, or the name is not plain.", body = ProblemBody),
        (status = 413, description = "The body is over 1 MiB.", body = ProblemBody),
        (status = 503, description = "Switched off, or the database is away; see Retry-After.", body = ProblemBody),
    )
)]
pub(crate) async fn named_webhook(
    state: web::Data<State>,
    request: HttpRequest,
    address: Address,
    payload: web::Payload,
) -> Result<web::Json<Received>, Problem> {
    webhook(state, request, address, payload).await
}

async fn receive(
    state: &State,
    request: &HttpRequest,
    address: &Address,
    payload: web::Payload,
) -> Result<Seen, Problem> {
    // Always read to its end: a sender whose body is not taken may never see the answer.
    let body = body::read(request, payload, state.body_timeout, &state.room).await?;
    let secrets = state.secrets.recent(&address.tenant_id).await?;
    let reception = state.switches.read(Some(&address.tenant_id)).await?;
    if !(reception.tenant && reception.all) {
        return Err(Problem::switched_off());
    }
    let webhook_id = signature::vouched_id(state, address, request.headers(), &body.bytes, secrets).await?;
    let event_type = event_type(request.headers());
    let event_type = event_type.as_ref().map(EventType::as_str);
    let mut connection = state.pool.acquire().await.map_err(StoreError::from)?;
    let now = state.clock.now();
    let (tenant_id, path) = (&address.tenant_id, address.name.as_str());
    Ok(receiver::arrived(&mut connection, tenant_id, path, &webhook_id, event_type, now).await?)
}

/// What happened, if it is said in a form we know; other senders may say it otherwise.
fn event_type(headers: &HeaderMap) -> Option<EventType> {
    EventType::try_from(headers.get(EVENT_TYPE)?.to_str().ok()?.to_owned()).ok()
}
