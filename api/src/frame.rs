//! What surrounds every action: an id, a net for panics, a count, a span.

use std::panic::AssertUnwindSafe;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpRequest};
use futures_util::FutureExt;
use trunkline_boot::random::random_bytes;
use trunkline_boot::trace::Span;

use crate::problem::Problem;
use crate::{metrics, routes};

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

/// The place of a request in its trace, where requests are traced.
#[derive(Clone)]
struct Traceparent(String);

/// The trace that what comes of a request belongs to: ours where requests are traced, else the caller's, as it came.
pub(crate) fn traceparent(request: &HttpRequest) -> Option<String> {
    let ours = request.extensions().get::<Traceparent>().cloned();
    ours.map_or_else(|| well_formed(request.headers()), |ours| Some(ours.0))
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
    let mut span = Span::of_request(|| method.to_string(), || well_formed(request.headers()));
    if let Some(traceparent) = span.traceparent() {
        request.extensions_mut().insert(Traceparent(traceparent));
    }
    let answered = AssertUnwindSafe(next.call(request)).catch_unwind().await;
    let mut response = answered.unwrap_or_else(|_| {
        metrics::METRICS.panics.increment(1);
        Err(Problem::internal("an action panicked").into())
    })?;
    if !response.headers().contains_key(&REQUEST_ID)
        && let Ok(value) = HeaderValue::from_str(request_id.as_str())
    {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let route = response.request().match_pattern().unwrap_or_else(|| "none".to_owned());
    let (status, took) = (response.status(), started.elapsed());
    let request_id = response.headers().get(&REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or_default();
    tracing::debug!(request.id = request_id, http.method = %method, http.route = route, http.status = status.as_u16(), elapsed = ?took, "answered");
    if span.is_recording() {
        span.rename(format!("{method} {route}"));
        span.tell("http.request.method", method.to_string());
        span.tell("http.route", route.clone());
        span.tell("http.response.status_code", i64::from(status.as_u16()));
        span.tell("request.id", request_id.to_owned());
        if status.is_server_error() {
            span.fail("server_error");
        }
    }
    metrics::count_answer(route, &method, status.as_u16(), took);
    Ok(response)
}

/// `traceparent` if it is one (W3C Trace Context, section 3.2.2); the standard asks to pass over anything else.
fn well_formed(headers: &HeaderMap) -> Option<String> {
    let value = headers.get("traceparent")?.to_str().ok()?;
    let parts: Vec<&str> = value.split('-').collect();
    let is_hex =
        |part: &&str| part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    let is_well_formed = lengths == [2, 32, 16, 2] && parts.iter().all(is_hex) && parts[0] != "ff";
    is_well_formed.then(|| value.to_owned())
}
