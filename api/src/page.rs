//! Page tokens: opaque, authenticated, and good for one caller and one filter only.

use actix_web::http::header::{HeaderValue, LINK};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use trunkline_boot::random::random_bytes;
use uuid::Uuid;

use crate::problem::Problem;
use crate::state::State;

/// Stands for the operator, who is no tenant: `*` is no tenant's id.
pub(crate) const OPERATOR: &str = "*";

/// Seals where the next page starts.
pub(crate) fn seal(state: &State, caller: &str, filter: &str, cursor: &[u8]) -> Result<String, Problem> {
    state.vault.seal_token(caller, filter.as_bytes(), cursor, random_bytes()).map_err(Problem::internal)
}

/// Opens a token of the same caller and filter.
///
/// # Errors
/// 400 for anything else.
pub(crate) fn open(
    state: &State,
    caller: &str,
    filter: &str,
    token: Option<&str>,
) -> Result<Option<Vec<u8>>, Problem> {
    let opened = token.map(|token| state.vault.open_token(caller, filter.as_bytes(), token)).transpose();
    opened.map_err(|_| {
        Problem::bad_query(
            Some("next_token"),
            "next_token is not one that was given for this list and filter; start again without it.",
        )
    })
}

/// One or several ids out of a token.
pub(crate) fn ids<const N: usize>(cursor: &[u8]) -> Result<[Uuid; N], Problem> {
    let ids: Vec<Uuid> = cursor.chunks_exact(16).filter_map(|bytes| Uuid::from_slice(bytes).ok()).collect();
    ids.try_into().map_err(|_| Problem::bad_query(Some("next_token"), "next_token is of another list."))
}

/// An answer with a page, which names the next one in `Link` if there is one.
pub(crate) fn response(request: &HttpRequest, next_token: Option<&str>) -> HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    if let Some(link) = next_token.and_then(|token| link(request, token)) {
        response.insert_header((LINK, link));
    }
    response
}

/// The value of `Link: rel="next"` (RFC 8288): the request's own path and query with the new token.
fn link(request: &HttpRequest, token: &str) -> Option<HeaderValue> {
    let kept =
        request.query_string().split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("next_token="));
    let query: Vec<&str> = kept.collect();
    let separator = if query.is_empty() { "" } else { "&" };
    let link = format!("<{}?{}{separator}next_token={token}>; rel=\"next\"", request.path(), query.join("&"));
    HeaderValue::from_str(&link).ok()
}
