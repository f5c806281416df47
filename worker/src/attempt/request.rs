//! The call as it is written: contract and signatures.

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use http_body_util::Full;
use trunkline_store::deliveries::Claimed;

use super::Failure;
use super::connection::Call;
use super::target::Target;
use crate::roster::Callable;

/// What every delivery says of its sender.
const OURSELVES: HeaderValue = HeaderValue::from_static(concat!("Trunkline/", env!("CARGO_PKG_VERSION")));

/// Everything that is sent but the body's length, which the client adds. `timestamp` is in Unix seconds.
pub(super) fn make(
    claimed: &Claimed,
    target: &Target,
    payload: Bytes,
    callable: &Callable,
    timestamp: i64,
) -> Result<Call, Failure> {
    // First, so that none of ours can be replaced.
    let mut headers = callable
        .custom_headers
        .clone()
        .ok_or_else(|| Failure::internal("a custom header could not be opened"))?;
    headers.reserve(12);
    headers.insert(HOST, target.host.clone());
    headers.insert(USER_AGENT, OURSELVES);
    headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let id = claimed.key.event_id.to_string();
    let newest_first: Vec<_> = callable.secrets.iter().collect();
    let signed = trunkline_signing::sign(&id, timestamp, &payload, &newest_first);
    for (name, value) in signed.pairs() {
        insert(&mut headers, name, value)?;
    }
    insert(&mut headers, "trunkline-attempt", &claimed.attempt.to_string())?;
    if let Some(event_type) = &claimed.event_type {
        insert(&mut headers, "trunkline-event-type", event_type.as_str())?;
    }
    if let Some(traceparent) = &claimed.traceparent {
        insert(&mut headers, "traceparent", traceparent)?;
    }
    let mut call = Request::new(Full::new(payload));
    *call.method_mut() = Method::POST;
    *call.uri_mut() = target.path.clone();
    *call.headers_mut() = headers;
    Ok(call)
}

fn insert(headers: &mut HeaderMap, name: &'static str, value: &str) -> Result<(), Failure> {
    let name = HeaderName::try_from(name).map_err(|_| Failure::internal("a header name is invalid"))?;
    let value = HeaderValue::from_str(value).map_err(|_| Failure::internal("a header value is invalid"))?;
    headers.insert(name, value);
    Ok(())
}

/// Why an answer is a failure, in words; `None` for success.
pub(super) fn describe_rejection(status: u16) -> Option<String> {
    let advice = match status {
        200..=299 => return None,
        300..=399 => "; redirects are not followed: set the endpoint's URL to the final address",
        401 | 403 => "; does the receiver check the right secret?",
        410 => "; the endpoint is disabled",
        _ => "",
    };
    Some(format!("the endpoint answered {status}{advice}"))
}
