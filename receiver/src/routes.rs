//! Every route on one page.
//!
//! Routes of a tenant have two segments or more and the others have one, so a tenant may be called `status`, `health`
//! or `docs` and nothing becomes ambiguous.

use actix_web::guard::{Any, Get, Head, Post};
use actix_web::web::{self, ServiceConfig};
use actix_web::{FromRequest, Handler, HttpResponse, Resource, Responder, Route};

use crate::actions::{docs, health, received, status, switch, webhook};
use crate::problem::Problem;

pub(crate) fn all(app: &mut ServiceConfig) {
    app.service(get("/health", health::health))
        .service(get("/docs", docs::page))
        .service(get("/openapi.json", docs::openapi))
        .service(get("/status", status::of_all))
        .service(post("/enable", switch::enable_all))
        .service(post("/disable", switch::disable_all))
        .service(post("/{tenant_id}/webhook", webhook::webhook))
        .service(post("/{tenant_id}/webhook/{name}", webhook::named_webhook))
        .service(get("/{tenant_id}/status", status::of_tenant))
        .service(post("/{tenant_id}/enable", switch::enable_tenant))
        .service(post("/{tenant_id}/disable", switch::disable_tenant))
        .service(get("/{tenant_id}/received", received::received))
        .default_service(web::to(async || Err::<HttpResponse, _>(Problem::no_route())));
}

/// HEAD too, which RFC 9110 (9.1) asks of every server that has GET.
fn get<F, Args>(path: &str, action: F) -> Resource
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    only(path, web::route().guard(Any(Get()).or(Head())).to(action), "GET, HEAD")
}

fn post<F, Args>(path: &str, action: F) -> Resource
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    only(path, web::route().guard(Post()).to(action), "POST")
}

fn only(path: &str, route: Route, allowed: &'static str) -> Resource {
    let refuse = move || async move { Err::<HttpResponse, _>(Problem::wrong_method(allowed)) };
    web::resource(path).route(route).default_service(web::to(refuse))
}
