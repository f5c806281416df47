//! The description of all routes, generated from the code that answers them.

mod rules;

use serde_json::Value;
use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::actions::{
    api_keys, audit, dead_letters, endpoints, erasures, event_types, events, matching, replays, stats,
    tenants,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Trunkline",
        description = "Publish events; Trunkline delivers each one, signed, to your endpoints, with retries and a history. \
                       Errors are application/problem+json (RFC 9457) with a stable `code`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    paths(
        events::publish::publish,
        events::batch::publish,
        events::list::list,
        events::show::show,
        events::attempts::list,
        events::retry::retry,
        events::retry::change,
        events::cancel::cancel,
        events::retry_delivery::retry,
        events::explain::explain,
        matching::try_out,
        events::export::export,
        events::erase::erase,
        erasures::create::create,
        erasures::show::show,
        stats::stats,
        event_types::list::list,
        event_types::describe::describe,
        event_types::show::show,
        event_types::delete::delete,
        api_keys::list::list,
        api_keys::create::create,
        api_keys::revoke::revoke,
        dead_letters::list::list,
        dead_letters::settle::requeue,
        dead_letters::settle::purge,
        endpoints::create::create,
        endpoints::list::list,
        endpoints::show::show,
        endpoints::change::change,
        endpoints::delete::delete,
        endpoints::switch::enable,
        endpoints::switch::disable,
        endpoints::switch::pause,
        endpoints::switch::resume,
        endpoints::rotate_secret::rotate,
        endpoints::test::test,
        endpoints::stats::stats,
        tenants::operational::set,
        tenants::operational::show,
        tenants::operational::remove,
        replays::start::start,
        replays::list::list,
        replays::show::show,
        replays::steer::cancel,
        replays::steer::pause,
        replays::steer::resume,
        tenants::create::create,
        tenants::list::list,
        tenants::show::current,
        tenants::change::current,
        tenants::show::show,
        tenants::change::change,
        tenants::delete::delete,
        tenants::suspend::suspend,
        tenants::suspend::resume,
        audit::list,
    ),
    modifiers(&Keys),
    tags(
        (name = "events", description = "Publishing, and history"),
        (name = "dead letters", description = "Deliveries that used up their attempt budget"),
        (name = "endpoints", description = "Where events go, and how"),
        (name = "replays", description = "Deliveries of the past made again, by predicate"),
        (name = "erasures", description = "Payloads erased by request, with receipts"),
        (name = "stats", description = "Counts, success rate and latency over time"),
        (name = "event types", description = "What types mean, and the schema of their payloads"),
        (name = "API keys", description = "A tenant's own keys"),
        (name = "tenants", description = "Who publishes, and where events go"),
        (name = "audit", description = "Who switched what"),
    ),
)]
struct Api;

struct Keys;

impl Modify for Keys {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_default();
        for (name, description) in [("key", "A tenant's API key, tl_..."), ("operator", "An operator's key")]
        {
            let mut bearer = Http::new(HttpAuthScheme::Bearer);
            bearer.description = Some(description.to_owned());
            components.add_security_scheme(name, SecurityScheme::Http(bearer));
        }
    }
}

/// The routes as an OpenAPI 3.1 document.
pub fn document() -> Value {
    let mut document = serde_json::to_value(Api::openapi()).expect("the document has string keys only");
    rules::add(&mut document);
    document
}
