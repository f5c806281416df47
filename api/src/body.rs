//! Request bodies, bounded in size and time, and of the type they say they are.

use std::time::Duration;

use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use actix_web::web::{Bytes, Payload};
use actix_web::{FromRequest, HttpRequest, dev};
use futures_util::future::LocalBoxFuture;
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// Bodies other than payloads.
const JSON_BYTES_MAX: usize = 64 * 1024;

/// How long a client may take for its body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// The exact bytes of a JSON body of at most `bytes_max`.
///
/// # Errors
/// 415 for another type or an encoding, 413 when too large (at once when `content-length` says so), 408 after 30 s, 400
/// when the connection broke.
pub(crate) async fn read(
    request: &HttpRequest,
    payload: Payload,
    bytes_max: usize,
) -> Result<Bytes, Problem> {
    check_type(request)?;
    let announced = header(request, &CONTENT_LENGTH).and_then(|value| value.parse::<u64>().ok());
    if announced.is_some_and(|bytes| bytes > bytes_max as u64) {
        return Err(Problem::too_large(bytes_max));
    }
    let read = tokio::time::timeout(BODY_TIMEOUT, payload.to_bytes_limited(bytes_max)).await;
    read.map_err(|_| Problem::too_slow())?
        .map_err(|_| Problem::too_large(bytes_max))?
        .map_err(|_| Problem::broken_body())
}

/// A JSON body as a type that denies unknown fields. 422 names what is wrong.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned + 'static> FromRequest for Json<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut dev::Payload) -> Self::Future {
        let request = request.clone();
        let payload = Payload::from_request(&request, payload);
        Box::pin(async move {
            let payload = payload.await.map_err(|_| Problem::broken_body())?;
            let bytes = read(&request, payload, JSON_BYTES_MAX).await?;
            serde_json::from_slice(&bytes).map(Json).map_err(|error| Problem::unusable_body(&error))
        })
    }
}

fn check_type(request: &HttpRequest) -> Result<(), Problem> {
    let content_type = header(request, &CONTENT_TYPE).unwrap_or_default();
    let mut parts = content_type.split(';').map(str::trim);
    let is_json = parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case("application/json"));
    let is_utf8 = parts.all(|parameter| match parameter.split_once('=') {
        Some((name, value)) if name.eq_ignore_ascii_case("charset") => {
            value.trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    });
    let encoding = header(request, &CONTENT_ENCODING).unwrap_or("identity");
    if is_json && is_utf8 && encoding.eq_ignore_ascii_case("identity") {
        return Ok(());
    }
    Err(Problem::wrong_type())
}

fn header<'a>(request: &'a HttpRequest, name: &actix_web::http::header::HeaderName) -> Option<&'a str> {
    request.headers().get(name).and_then(|value| value.to_str().ok())
}

/// Tells a field that is null from one that is absent.
pub(crate) fn present<'de, D: serde::Deserializer<'de>, T: serde::Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    <Option<T> as serde::Deserialize>::deserialize(deserializer).map(Some)
}
