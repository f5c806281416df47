//! The head of the call: contract and signatures.

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use trunkline_signing::Secret;
use trunkline_store::deliveries::Claimed;

use super::Failure;

/// What every delivery says of its sender.
pub(super) const USER_AGENT: &str = concat!("Trunkline/", env!("CARGO_PKG_VERSION"));

/// Every header but those the client adds by itself. `timestamp` is in Unix seconds.
pub(super) fn headers(
    claimed: &Claimed,
    payload: &[u8],
    secrets: &[Secret],
    timestamp: i64,
) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let id = claimed.key.event_id.to_string();
    let newest_first: Vec<&Secret> = secrets.iter().collect();
    let signed = trunkline_signing::sign(&id, timestamp, payload, &newest_first);
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
    Ok(headers)
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
