//! The description of all routes, generated from the code that answers them.

use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::actions::{docs, health, received, status, switch, webhook};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Trunkline receiver",
        description = "The reference consumer of Trunkline's webhooks: verifies, recognises duplicates, shows what \
                       arrived, and can be switched off.",
    ),
    paths(
        webhook::webhook,
        webhook::named_webhook,
        received::received,
        status::of_tenant,
        switch::enable_tenant,
        switch::disable_tenant,
        status::of_all,
        switch::enable_all,
        switch::disable_all,
        health::health,
        docs::page,
        docs::openapi,
    ),
    modifiers(&Keys),
    tags(
        (name = "webhooks", description = "What arrives"),
        (name = "switch", description = "Whether it is accepted"),
        (name = "service", description = "The process itself"),
    ),
)]
struct Api;

struct Keys;

impl Modify for Keys {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_default();
        let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        components.add_security_scheme("key", bearer);
    }
}

/// The routes as an OpenAPI 3.1 document.
#[must_use]
pub fn document() -> Document {
    Api::openapi()
}
