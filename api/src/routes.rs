//! Every route on one page.

use actix_web::http::Method;
use actix_web::web::{self, ServiceConfig, delete, get, patch, post};
use actix_web::{HttpResponse, Resource};

use crate::actions::{dead_letters, docs, events, tenants};
use crate::problem::Problem;

pub(crate) fn all(app: &mut ServiceConfig) {
    app.service(
        resource("/v1/events", "GET, POST")
            .route(post().to(events::publish::publish))
            .route(get().to(events::list::list)),
    )
    .service(
        resource("/v1/events/{event_id}", "DELETE, GET, PATCH")
            .route(get().to(events::show::show))
            .route(patch().to(events::retry::change))
            .route(delete().to(events::cancel::cancel)),
    )
    .service(resource("/v1/events/{event_id}/attempts", "GET").route(get().to(events::attempts::list)))
    .service(resource("/v1/events/{event_id}/retry", "POST").route(post().to(events::retry::retry)))
    .service(resource("/v1/dead-letters", "GET").route(get().to(dead_letters::list::list)))
    .service(resource("/v1/dead-letters/requeue", "POST").route(post().to(dead_letters::settle::requeue)))
    .service(resource("/v1/dead-letters/purge", "POST").route(post().to(dead_letters::settle::purge)))
    .service(
        resource("/v1/tenants", "GET, POST")
            .route(post().to(tenants::create::create))
            .route(get().to(tenants::list::list)),
    )
    // Before the route with an id, which `current` would match too; no tenant can be named so and be reached by name.
    .service(
        resource("/v1/tenants/current", "GET, PATCH")
            .route(get().to(tenants::show::current))
            .route(patch().to(tenants::change::current)),
    )
    .service(
        resource("/v1/tenants/{tenant_id}", "GET, PATCH")
            .route(get().to(tenants::show::show))
            .route(patch().to(tenants::change::change)),
    )
    .service(resource("/v1/tenants/{tenant_id}/suspend", "POST").route(post().to(tenants::suspend::suspend)))
    .service(resource("/v1/tenants/{tenant_id}/resume", "POST").route(post().to(tenants::suspend::resume)))
    .service(resource("/v1/openapi.json", "GET").route(get().to(docs::openapi)))
    .service(resource("/v1/docs", "GET").route(get().to(docs::swagger_ui)))
    .service(resource("/v1/redoc", "GET").route(get().to(docs::redoc)))
    .service(resource("/v1/docs/assets/{path:.*}", "GET").route(get().to(docs::asset)))
    .default_service(web::to(async || Err::<HttpResponse, _>(Problem::no_route())));
}

/// Whether a route has query parameters; it checks them itself then. Every other route refuses any.
pub(crate) fn takes_query(method: &Method, path: &str) -> bool {
    let is_list = ["/v1/events", "/v1/dead-letters", "/v1/tenants"].contains(&path);
    let is_page = path.starts_with("/v1/docs") || path.starts_with("/v1/redoc");
    *method == Method::GET && (is_list || is_page)
}

/// A path that answers every other method with 405 and the ones it knows.
fn resource(path: &str, allowed: &'static str) -> Resource {
    let refuse = move || async move { Err::<HttpResponse, _>(Problem::wrong_method(allowed)) };
    web::resource(path).default_service(web::to(refuse))
}
