//! Request bodies, bounded in size and time, and of the type they say they are.

use std::sync::Arc;

use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use actix_web::web::{Bytes, Data, Payload};
use actix_web::{FromRequest, HttpRequest, dev};
use bytes::BytesMut;
use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::problem::Problem;
use crate::state::State;

/// What counts as large: beyond the largest payload that can be set.
const SMALL_BYTES_MAX: usize = 1024 * 1024;

/// Bodies other than payloads.
const JSON_BYTES_MAX: usize = 64 * 1024;

/// Bytes of bodies that are held at one time, and of batches beside them: however many clients send however slowly, no more
/// memory is taken.
const HELD_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Room for bodies.
pub(crate) struct Room {
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
}

/// A body, and its room until it is dropped.
pub(crate) struct Body {
    pub(crate) bytes: Bytes,
    _held: OwnedSemaphorePermit,
}

impl Room {
    pub(crate) fn new() -> Self {
        let room = || Arc::new(Semaphore::new(HELD_BYTES_MAX));
        Self { small: room(), large: room() }
    }

    /// Large bodies have room of their own, so that a few of them keep out none of the many.
    fn of(&self, bytes_max: usize) -> &Arc<Semaphore> {
        if bytes_max > SMALL_BYTES_MAX { &self.large } else { &self.small }
    }
}

/// The exact bytes of a JSON body of at most `bytes_max`.
///
/// # Errors
/// 415 for another type or an encoding, 413 when too large (at once when `content-length` says so), 408 when it takes too long, 400
/// when the connection broke, 503 when too many others are being read.
pub(crate) async fn read(request: &HttpRequest, payload: Payload, bytes_max: usize) -> Result<Body, Problem> {
    check_type(request)?;
    read_any(request, payload, bytes_max).await
}

/// The same of any type.
async fn read_any(request: &HttpRequest, payload: Payload, bytes_max: usize) -> Result<Body, Problem> {
    let announced = header(request, &CONTENT_LENGTH).and_then(|value| value.parse::<u64>().ok());
    if announced.is_some_and(|bytes| bytes > bytes_max as u64) {
        return Err(Problem::too_large(bytes_max));
    }
    let state = request.app_data::<Data<State>>().ok_or_else(|| Problem::internal("no state"))?;
    let limit = state.body_timeout;
    let read = tokio::time::timeout(limit, gather(payload, bytes_max, state.room.of(bytes_max))).await;
    read.map_err(|_| Problem::too_slow(limit))?
}

/// Room is taken as bytes come in: a client that only announces them takes none from others.
async fn gather(mut payload: Payload, bytes_max: usize, room: &Arc<Semaphore>) -> Result<Body, Problem> {
    let take = |bytes: usize| {
        let bytes = u32::try_from(bytes).map_err(|_| Problem::overloaded())?;
        Arc::clone(room).try_acquire_many_owned(bytes).map_err(|_| Problem::overloaded())
    };
    let (mut bytes, mut held) = (BytesMut::new(), take(0)?);
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| Problem::broken_body())?;
        if bytes.len() + chunk.len() > bytes_max {
            return Err(Problem::too_large(bytes_max));
        }
        held.merge(take(chunk.len())?);
        bytes.extend_from_slice(&chunk);
    }
    Ok(Body { bytes: bytes.freeze(), _held: held })
}

/// A JSON body as a type that denies unknown fields. 422 names what is wrong.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned + 'static> FromRequest for Json<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut dev::Payload) -> Self::Future {
        extracted(request, payload, async |request, payload| {
            let body = read(&request, payload, JSON_BYTES_MAX).await?;
            object(&body.bytes).map(Self)
        })
    }
}

/// The same where every field may be left out: no body at all is as good as `{}`, whatever type it would have been.
pub(crate) struct Optional<T>(pub(crate) T);

impl<T: DeserializeOwned + 'static> FromRequest for Optional<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut dev::Payload) -> Self::Future {
        extracted(request, payload, async |request, payload| {
            let body = read_any(&request, payload, JSON_BYTES_MAX).await?;
            if body.bytes.is_empty() {
                return object(b"{}").map(Self);
            }
            check_type(&request)?;
            object(&body.bytes).map(Self)
        })
    }
}

/// An argument of every action that changes something and takes no body: whoever sends fields all the same, which would do nothing,
/// learns it.
pub(crate) type NoBody = Optional<Nothing>;

/// No fields.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

/// What `read` makes of a body, as an argument of an action.
fn extracted<T: 'static>(
    request: &HttpRequest,
    payload: &mut dev::Payload,
    read: impl AsyncFnOnce(HttpRequest, Payload) -> Result<T, Problem> + 'static,
) -> LocalBoxFuture<'static, Result<T, Problem>> {
    let request = request.clone();
    let payload = Payload::from_request(&request, payload);
    Box::pin(async move {
        let payload = payload.await.map_err(|_| Problem::broken_body())?;
        read(request, payload).await
    })
}

/// A JSON object as a type.
///
/// # Errors
/// 422 for anything else. An array of the right values too: serde would take it for a struct.
pub(crate) fn object<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Problem> {
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    if first.is_some_and(|first| *first != b'{') {
        return Err(Problem::no_object());
    }
    serde_json::from_slice(bytes).map_err(|error| Problem::unusable_body(&error))
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
