//! Reads a request's body, bounded in size and time.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::CONTENT_LENGTH;
use actix_web::{HttpRequest, web};
use futures_util::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::problem::Problem;

/// What receivers are asked to take at most.
pub(crate) const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of bodies that are held at one time: anyone may send them, however many and however slowly.
pub(crate) const HELD_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A body, and its room until it is dropped.
pub(crate) struct Body {
    pub(crate) bytes: web::Bytes,
    _held: OwnedSemaphorePermit,
}

/// The whole body, byte for byte as it was sent: that is what was signed.
///
/// # Errors
/// 413 over 1 MiB (at once when `content-length` says so), 408 when it takes too long, 400 when the connection broke, 503 when
/// too many others are being read.
pub(crate) async fn read(
    request: &HttpRequest,
    payload: web::Payload,
    limit: Duration,
    room: &Arc<Semaphore>,
) -> Result<Body, Problem> {
    let announced =
        request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|bytes| bytes > BODY_BYTES_MAX as u64) {
        return Err(Problem::too_large());
    }
    tokio::time::timeout(limit, gather(payload, room)).await.map_err(|_| Problem::too_slow(limit))?
}

/// Room is taken as bytes come in: a client that only announces them takes none from others.
async fn gather(mut payload: web::Payload, room: &Arc<Semaphore>) -> Result<Body, Problem> {
    let take = |bytes: usize| {
        let bytes = u32::try_from(bytes).map_err(|_| Problem::overloaded())?;
        Arc::clone(room).try_acquire_many_owned(bytes).map_err(|_| Problem::overloaded())
    };
    let (mut bytes, mut held) = (web::BytesMut::new(), take(0)?);
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| Problem::broken_body())?;
        if bytes.len() + chunk.len() > BODY_BYTES_MAX {
            return Err(Problem::too_large());
        }
        held.merge(take(chunk.len())?);
        bytes.extend_from_slice(&chunk);
    }
    Ok(Body { bytes: bytes.freeze(), _held: held })
}
