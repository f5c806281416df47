//! Every route on one page.

use actix_web::guard::{Any, Get, Head};
use actix_web::http::Method;
use actix_web::web::{self, ServiceConfig, delete, patch, post, put};
use actix_web::{HttpResponse, Resource, Route};

use crate::actions::{
    api_keys, audit, dead_letters, docs, endpoints, erasures, event_types, events, matching, replays, stats,
    tenants,
};
use crate::problem::Problem;

pub(crate) fn all(app: &mut ServiceConfig) {
    app.service(
        resource("/v1/events", "GET, HEAD, POST")
            .route(post().to(events::publish::publish))
            .route(read().to(events::list::list)),
    )
    // Before the route with an id, which `export` would match too.
    .service(resource("/v1/events/export", "GET, HEAD").route(read().to(events::export::export)))
    // Before the route with an id; no event is named so.
    .service(resource("/v1/events/batch", "POST").route(post().to(events::batch::publish)))
    .service(
        resource("/v1/events/{event_id}", "DELETE, GET, HEAD, PATCH")
            .route(read().to(events::show::show))
            .route(patch().to(events::retry::change))
            .route(delete().to(events::cancel::cancel)),
    )
    .service(resource("/v1/events/{event_id}/attempts", "GET, HEAD").route(read().to(events::attempts::list)))
    .service(resource("/v1/events/{event_id}/content", "DELETE").route(delete().to(events::erase::erase)))
    .service(resource("/v1/events/{event_id}/retry", "POST").route(post().to(events::retry::retry)))
    .service(
        resource("/v1/events/{event_id}/deliveries/{endpoint_id}/retry", "POST")
            .route(post().to(events::retry_delivery::retry)),
    )
    .service(
        resource("/v1/events/{event_id}/explain", "GET, HEAD").route(read().to(events::explain::explain)),
    )
    .service(resource("/v1/match", "POST").route(post().to(matching::try_out)))
    .service(resource("/v1/erasures", "POST").route(post().to(erasures::create::create)))
    .service(resource("/v1/erasures/{erasure_id}", "GET, HEAD").route(read().to(erasures::show::show)))
    .service(resource("/v1/stats", "GET, HEAD").route(read().to(stats::stats)))
    .service(resource("/v1/event-types", "GET, HEAD").route(read().to(event_types::list::list)))
    .service(
        resource("/v1/event-types/{type}", "DELETE, GET, HEAD, PUT")
            .route(read().to(event_types::show::show))
            .route(put().to(event_types::describe::describe))
            .route(delete().to(event_types::delete::delete)),
    )
    .service(
        resource("/v1/api-keys", "GET, HEAD, POST")
            .route(post().to(api_keys::create::create))
            .route(read().to(api_keys::list::list)),
    )
    .service(resource("/v1/api-keys/{key_id}", "DELETE").route(delete().to(api_keys::revoke::revoke)))
    .service(resource("/v1/audit", "GET, HEAD").route(read().to(audit::list)))
    .service(resource("/v1/dead-letters", "GET, HEAD").route(read().to(dead_letters::list::list)))
    .service(resource("/v1/dead-letters/requeue", "POST").route(post().to(dead_letters::settle::requeue)))
    .service(resource("/v1/dead-letters/purge", "POST").route(post().to(dead_letters::settle::purge)))
    .service(
        resource("/v1/endpoints", "GET, HEAD, POST")
            .route(post().to(endpoints::create::create))
            .route(read().to(endpoints::list::list)),
    )
    .service(
        resource("/v1/endpoints/{endpoint_id}", "DELETE, GET, HEAD, PATCH")
            .route(read().to(endpoints::show::show))
            .route(patch().to(endpoints::change::change))
            .route(delete().to(endpoints::delete::delete)),
    )
    .service(
        resource("/v1/endpoints/{endpoint_id}/enable", "POST").route(post().to(endpoints::switch::enable)),
    )
    .service(
        resource("/v1/endpoints/{endpoint_id}/disable", "POST").route(post().to(endpoints::switch::disable)),
    )
    .service(resource("/v1/endpoints/{endpoint_id}/pause", "POST").route(post().to(endpoints::switch::pause)))
    .service(
        resource("/v1/endpoints/{endpoint_id}/resume", "POST").route(post().to(endpoints::switch::resume)),
    )
    .service(
        resource("/v1/endpoints/{endpoint_id}/rotate-secret", "POST")
            .route(post().to(endpoints::rotate_secret::rotate)),
    )
    .service(resource("/v1/endpoints/{endpoint_id}/test", "POST").route(post().to(endpoints::test::test)))
    .service(
        resource("/v1/endpoints/{endpoint_id}/stats", "GET, HEAD").route(read().to(endpoints::stats::stats)),
    )
    .service(
        resource("/v1/replays", "GET, HEAD, POST")
            .route(post().to(replays::start::start))
            .route(read().to(replays::list::list)),
    )
    .service(
        resource("/v1/replays/{replay_id}", "DELETE, GET, HEAD")
            .route(read().to(replays::show::show))
            .route(delete().to(replays::steer::cancel)),
    )
    .service(resource("/v1/replays/{replay_id}/pause", "POST").route(post().to(replays::steer::pause)))
    .service(resource("/v1/replays/{replay_id}/resume", "POST").route(post().to(replays::steer::resume)))
    .service(
        resource("/v1/tenants", "GET, HEAD, POST")
            .route(post().to(tenants::create::create))
            .route(read().to(tenants::list::list)),
    )
    // Before the route with an id, which `current` would match too; no tenant can be named so and be reached by name.
    .service(
        resource("/v1/tenants/current", "GET, HEAD, PATCH")
            .route(read().to(tenants::show::current))
            .route(patch().to(tenants::change::current)),
    )
    .service(
        resource("/v1/tenants/current/operational-endpoint", "DELETE, GET, HEAD, PUT")
            .route(put().to(tenants::operational::set))
            .route(read().to(tenants::operational::show))
            .route(delete().to(tenants::operational::remove)),
    )
    .service(
        resource("/v1/tenants/{tenant_id}", "DELETE, GET, HEAD, PATCH")
            .route(read().to(tenants::show::show))
            .route(patch().to(tenants::change::change))
            .route(delete().to(tenants::delete::delete)),
    )
    .service(resource("/v1/tenants/{tenant_id}/suspend", "POST").route(post().to(tenants::suspend::suspend)))
    .service(resource("/v1/tenants/{tenant_id}/resume", "POST").route(post().to(tenants::suspend::resume)))
    .service(resource("/v1/openapi.json", "GET, HEAD").route(read().to(docs::openapi)))
    .service(resource("/v1/docs", "GET, HEAD").route(read().to(docs::swagger_ui)))
    .service(resource("/v1/redoc", "GET, HEAD").route(read().to(docs::redoc)))
    .service(resource("/v1/docs/assets/{path:.*}", "GET, HEAD").route(read().to(docs::asset)))
    .default_service(web::to(async || Err::<HttpResponse, _>(Problem::no_route())));
}

/// Whether a route has query parameters; it checks them itself then. Every other route refuses any.
pub(crate) fn takes_query(method: &Method, path: &str) -> bool {
    let is_list = [
        "/v1/audit",
        "/v1/dead-letters",
        "/v1/endpoints",
        "/v1/event-types",
        "/v1/events",
        "/v1/events/export",
        "/v1/replays",
        "/v1/stats",
        "/v1/tenants",
    ]
    .contains(&path)
        || path.starts_with("/v1/erasures/")
        || (path.starts_with("/v1/endpoints/") && path.ends_with("/stats"))
        || (path.starts_with("/v1/events/") && path.ends_with("/attempts"));
    let is_read = *method == Method::GET || *method == Method::HEAD;
    let is_created = ["/v1/endpoints", "/v1/events", "/v1/replays", "/v1/tenants"].contains(&path);
    // What is wrong is the method then, and the path says so itself.
    let is_answered_405 = is_list && !is_read && !(is_created && *method == Method::POST);
    let is_page = path.starts_with("/v1/docs") || path.starts_with("/v1/redoc");
    is_answered_405 || is_read && (is_list || is_page)
}

/// GET, and HEAD too, which RFC 9110 (9.1) asks of every server that has GET.
fn read() -> Route {
    web::route().guard(Any(Get()).or(Head()))
}

/// A path that answers every other method with 405 and the ones it knows.
fn resource(path: &str, allowed: &'static str) -> Resource {
    let refuse = move || async move { Err::<HttpResponse, _>(Problem::wrong_method(allowed)) };
    web::resource(path).default_service(web::to(refuse))
}
