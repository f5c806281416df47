//! What surrounds every action: an id, a net for panics, a count.

use std::panic::AssertUnwindSafe;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage};
use futures_util::FutureExt;
use metrics::counter;
use trunkline_boot::random::random_bytes;

use crate::problem::Problem;
use crate::routes;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Names a request; a problem has an id of its own.
#[derive(Clone)]
pub(crate) struct RequestId(String);

impl RequestId {
    fn new() -> Self {
        Self(format!("req_{}", hex::encode(random_bytes::<12>())))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Refuses query parameters where there are none, turns a panic into a 500, names the answer and counts it.
pub(crate) async fn around(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    if !request.query_string().is_empty() && !routes::takes_query(request.method(), request.path()) {
        return Err(Problem::bad_query(None, "This route takes no query parameters.").into());
    }
    let request_id = RequestId::new();
    request.extensions_mut().insert(request_id.clone());
    let (method, started) = (request.method().clone(), std::time::Instant::now());
    let answered = AssertUnwindSafe(next.call(request)).catch_unwind().await;
    let mut response = answered.unwrap_or_else(|_| Err(Problem::internal("an action panicked").into()))?;
    if !response.headers().contains_key(&REQUEST_ID)
        && let Ok(value) = HeaderValue::from_str(request_id.as_str())
    {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let route = response.request().match_pattern().unwrap_or_else(|| "none".to_owned());
    let status = response.status().as_u16();
    tracing::debug!(http.method = %method, http.route = route, http.status = status, elapsed = ?started.elapsed(), "answered");
    counter!("trunkline_api_requests_total", "route" => route, "method" => method.to_string(), "status" => status.to_string())
        .increment(1);
    Ok(response)
}
