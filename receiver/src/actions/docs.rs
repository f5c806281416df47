use std::fmt::Write;
use std::sync::LazyLock;

use actix_web::HttpResponse;
use actix_web::http::header::{CONTENT_SECURITY_POLICY, ContentType, X_CONTENT_TYPE_OPTIONS};
use utoipa::openapi::path::Operation;
use utoipa::openapi::{OpenApi, RefOr};

use crate::openapi::{document, json};

static OPENAPI: LazyLock<String> = LazyLock::new(|| json().to_string());
static PAGE: LazyLock<String> = LazyLock::new(|| render(&document()));

/// Nothing but the page's own style: it has no script, picture or link to elsewhere.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HEAD: &str = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
<meta name=\"viewport\" content=\"width=device-width\"><title>Trunkline receiver</title><style>\
body{font:16px/1.5 system-ui,sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}\
h2{margin:2.5rem 0 .25rem;font-size:1.1rem}code{font-size:1em}table{border-collapse:collapse;width:100%}\
td{border-top:1px solid #ddd;padding:.25rem .5rem;vertical-align:top}td:first-child{width:14rem}\
@media(prefers-color-scheme:dark){body{color:#ddd;background:#161616}td{border-color:#444}a{color:#8bf}}\
</style></head><body>";

/// This description as a page
#[utoipa::path(get, path = "/docs", tag = "service", responses((status = 200, description = "A page without scripts.", content_type = "text/html", body = String)))]
pub(crate) async fn page() -> HttpResponse {
    HttpResponse::Ok()
        .content_type(ContentType::html())
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(PAGE.as_str())
}

/// This description as OpenAPI 3.1
#[utoipa::path(get, path = "/openapi.json", tag = "service", responses((status = 200, description = "The document.", body = serde_json::Value)))]
pub(crate) async fn openapi() -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::json()).body(OPENAPI.as_str())
}

fn render(document: &OpenApi) -> String {
    let mut page = HEAD.to_owned();
    let introduction = document.info.description.as_deref().unwrap_or_default();
    let _infallible = write!(
        page,
        "<h1>{}</h1><p>{} The same for programs: <a href=\"openapi.json\">openapi.json</a>.</p>",
        escape(&document.info.title),
        escape(introduction),
    );
    for (path, item) in &document.paths.paths {
        for (method, operation) in [("GET", &item.get), ("POST", &item.post)] {
            if let Some(operation) = operation {
                section(&mut page, method, path, operation);
            }
        }
    }
    page.push_str("</body></html>\n");
    page
}

fn section(page: &mut String, method: &str, path: &str, operation: &Operation) {
    let summary = operation.summary.as_deref().unwrap_or_default();
    let description = operation.description.as_deref().unwrap_or_default();
    let key = if operation.security.is_some() { " Needs <code>Authorization: Bearer</code>." } else { "" };
    let _infallible = write!(
        page,
        "<h2><code>{method} {}</code></h2><p>{}. {}{key}</p><table>",
        escape(path),
        escape(summary),
        escape(description),
    );
    for parameter in operation.parameters.iter().flatten() {
        if let RefOr::T(parameter) = parameter {
            row(page, &parameter.name, parameter.description.as_deref().unwrap_or_default());
        }
    }
    for (status, response) in &operation.responses.responses {
        if let RefOr::T(response) = response {
            row(page, status, &response.description);
        }
    }
    page.push_str("</table>");
}

fn row(page: &mut String, name: &str, description: &str) {
    let (name, description) = (escape(name), escape(description));
    let _infallible = write!(page, "<tr><td><code>{name}</code></td><td>{description}</td></tr>");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
