//! Reads a request's body, bounded in size and time.

use std::time::Duration;

use actix_web::http::header::CONTENT_LENGTH;
use actix_web::{HttpRequest, web};

use crate::problem::Problem;

/// What receivers are asked to take at most.
pub(crate) const BODY_BYTES_MAX: usize = 1024 * 1024;

/// How long a sender may take for it.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// The whole body, byte for byte as it was sent: that is what was signed.
///
/// # Errors
/// 413 over 1 MiB (at once when `content-length` says so), 408 after 30 s, 400 when the connection broke.
pub(crate) async fn read(request: &HttpRequest, payload: web::Payload) -> Result<web::Bytes, Problem> {
    let announced =
        request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|bytes| bytes > BODY_BYTES_MAX as u64) {
        return Err(Problem::too_large());
    }
    let read = tokio::time::timeout(BODY_TIMEOUT, payload.to_bytes_limited(BODY_BYTES_MAX)).await;
    read.map_err(|_| Problem::too_slow())?
        .map_err(|_| Problem::too_large())?
        .map_err(|_| Problem::broken_body())
}
