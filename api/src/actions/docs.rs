//! The description of the API, as data and as pages that ask no other server for anything.

use std::sync::LazyLock;

use actix_web::http::header::X_CONTENT_TYPE_OPTIONS;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use actix_web::{HttpRequest, HttpResponse, web};
use sha2::{Digest, Sha256};

use crate::openapi::document;
use crate::problem::Problem;

static OPENAPI: LazyLock<String> = LazyLock::new(|| document().to_string());

const SWAGGER_POLICY: &str = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; \
                              form-action 'none'; frame-ancestors 'none'";

/// Redoc writes its styles at run time and searches in a worker made from a blob.
const REDOC_POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; worker-src blob:; \
                            img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; \
                            frame-ancestors 'none'";

/// A vendored file, its path below `/v1/docs/assets/` and its type.
struct Asset {
    path: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
}

macro_rules! asset {
    ($path:literal, $type:literal) => {
        Asset { path: $path, content_type: $type, bytes: include_bytes!(concat!("../../assets/", $path)) }
    };
}

static ASSETS: &[Asset] = &[
    asset!("swagger-ui/swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
    asset!("swagger-ui/swagger-ui.css", "text/css; charset=utf-8"),
    asset!("swagger-ui/init.js", "text/javascript; charset=utf-8"),
    asset!("redoc/redoc.standalone.js", "text/javascript; charset=utf-8"),
    asset!("redoc/page.css", "text/css; charset=utf-8"),
    asset!("redoc/init.js", "text/javascript; charset=utf-8"),
];

pub(crate) async fn openapi() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(OPENAPI.as_str())
}

pub(crate) async fn swagger_ui() -> HttpResponse {
    page(include_str!("../../assets/swagger-ui/index.html"), SWAGGER_POLICY)
}

pub(crate) async fn redoc() -> HttpResponse {
    page(include_str!("../../assets/redoc/index.html"), REDOC_POLICY)
}

/// A file of the pages. A browser keeps it and asks whether it is still the same.
pub(crate) async fn asset(request: HttpRequest, path: web::Path<String>) -> Result<HttpResponse, Problem> {
    let asset = ASSETS.iter().find(|asset| asset.path == *path).ok_or_else(Problem::no_route)?;
    let tag = format!("\"{}\"", hex::encode(&Sha256::digest(asset.bytes)[..16]));
    let is_known =
        request.headers().get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let mut response = if is_known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response.insert_header((ETAG, tag)).insert_header((CACHE_CONTROL, "no-cache"));
    if is_known {
        return Ok(response.finish());
    }
    response
        .insert_header((CONTENT_TYPE, asset.content_type))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"));
    Ok(response.body(asset.bytes))
}

fn page(html: &'static str, policy: &'static str) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((CONTENT_SECURITY_POLICY, policy))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(html)
}
