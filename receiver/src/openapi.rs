//! The description of all routes, generated from the code that answers them.

use serde_json::{Value, json};
use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::actions::{docs, health, received, status, switch, webhook};

const PROBLEM: &str = "#/components/schemas/Problem";

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

/// The same with what the macros do not say: the type of problems, the rules of what stands in a path, and what wrong keys lead to.
pub(crate) fn json() -> Value {
    let mut document = serde_json::to_value(document()).expect("the document has string keys only");
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    let operations = paths.flat_map(|(_, item)| item.as_object_mut().into_iter().flatten());
    for (_, operation) in operations {
        for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
            match parameter["name"].as_str() {
                Some("tenant_id") => parameter["schema"]["pattern"] = json!("^[a-z0-9-]{3,50}$"),
                Some("name") => parameter["schema"]["pattern"] = json!("^[A-Za-z0-9._-]{1,100}$"),
                _ => {}
            }
        }
        if operation.get("security").is_some() {
            operation["responses"]["429"] = json!({
                "description": "Too many requests with wrong keys came from the address; see Retry-After.",
                "content": { "application/json": { "schema": { "$ref": PROBLEM } } },
            });
        }
        for (_, response) in operation["responses"].as_object_mut().into_iter().flatten() {
            name_type_of_problems(response);
        }
    }
    document
}

fn name_type_of_problems(response: &mut Value) {
    let Some(content) = response.get_mut("content").and_then(Value::as_object_mut) else { return };
    let is_problem = content.get("application/json").is_some_and(|json| json["schema"]["$ref"] == PROBLEM);
    if is_problem && let Some(problem) = content.remove("application/json") {
        content.insert("application/problem+json".to_owned(), problem);
    }
}
