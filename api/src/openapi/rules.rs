//! What the types of the code do not say: the rules of texts and numbers, by the names they have everywhere, so that a client can
//! check before it sends, and a fuzzer knows what must be accepted.

use serde_json::{Map, Value, json};

use crate::query::{ATTEMPTS_MAX, LIMIT, LIMIT_MAX};

const PROBLEM: &str = "#/components/schemas/Problem";

const VISIBLE: &str = "^[!-~]{1,128}$";

/// `whsec_` and canonical base64 of 24-64 bytes, or 24-64 visible characters that do not begin so.
const SECRET: &str = "^(?:(?!whsec_)[!-~]{24,64}|whsec_(?:(?:[A-Za-z0-9+/]{4}){8,21}\
    |(?:[A-Za-z0-9+/]{4}){8,20}[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=|(?:[A-Za-z0-9+/]{4}){8,21}[A-Za-z0-9+/][AQgw]==))$";

/// Steps separated by dots, a colon, a value.
const MEMBER: &str = "^[^.:]+(\\.[^.:]+){0,15}:";

/// One line, without blanks at either end.
const LABEL: &str = "^[^\\s\\x00-\\x1f\\x7f-\\x9f]([^\\x00-\\x1f\\x7f-\\x9f]*[^\\s\\x00-\\x1f\\x7f-\\x9f])?$";

/// Lines without control characters.
const TEXT: &str = "^[^\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f]*$";

/// The schemas of what clients send. Those of answers follow from the code alone.
const SENT: [&str; 14] = [
    "BatchItem",
    "BatchRequest",
    "Change",
    "Draft",
    "ErasureRequest",
    "KeyRequest",
    "OperationalRequest",
    "Predicate",
    "Rotation",
    "Selection",
    "SettingsChange",
    "TenantChange",
    "TenantRequest",
    "TypeDescription",
];

/// Adds the rules to a document.
pub(super) fn add(document: &mut Value) {
    for (method, operation) in operations(document) {
        let lists_attempts = operation["operationId"] == "listAttempts";
        for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(schema) = of_parameter(parameter["name"].as_str().unwrap_or_default()) {
                parameter["schema"] = schema;
            }
            if lists_attempts && parameter["name"] == "limit" {
                merge(&mut parameter["schema"], json!({ "maximum": ATTEMPTS_MAX, "default": ATTEMPTS_MAX }));
            }
        }
        if operation["operationId"] == "publishEvent" {
            operation["requestBody"]["content"]["application/json"]["schema"] = json!({ "type": "object" });
        }
        let may_lack_body =
            ["requeueDeadLetters", "rotateEndpointSecret"].iter().any(|id| operation["operationId"] == *id);
        if may_lack_body {
            operation["requestBody"]["required"] = json!(false);
        }
        let has_key = operation.get("security").is_some();
        let has_body = operation.get("requestBody").is_some();
        let publishes = ["publishEvent", "publishBatch"].iter().any(|id| operation["operationId"] == *id);
        let Some(responses) = operation["responses"].as_object_mut() else { continue };
        if !has_body && method != "get" {
            say(responses, "413", "There is a body, and it is too large.", json!({}));
            say(responses, "415", "There is a body, and it is not JSON.", json!({}));
            say(responses, "422", "There is a body, and it has fields.", json!({}));
        }
        if method != "get" {
            say(responses, "400", "The body ended before the length that was announced.", json!({}));
            say(responses, "408", "The body took too long to arrive.", json!({}));
        }
        if has_key {
            let wrong_keys = "Too many requests with wrong keys came from the address; see Retry-After.";
            let seconds = json!({ "description": "Seconds to wait", "schema": { "type": "string", "pattern": "^[0-9]+$" } });
            say(responses, "429", wrong_keys, json!({ "Retry-After": seconds }));
        }
        if publishes {
            tell_rates(responses);
        }
        for response in responses.values_mut() {
            name_type_of_problems(response);
        }
    }
    for name in SENT {
        let schema = &mut document["components"]["schemas"][name];
        schema["additionalProperties"] = json!(false);
        for (property, schema) in schema["properties"].as_object_mut().into_iter().flatten() {
            merge(schema, of_property(name, property));
        }
    }
}

/// Each with its method.
fn operations(document: &mut Value) -> impl Iterator<Item = (&String, &mut Value)> {
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    paths.flat_map(|(_, item)| item.as_object_mut().into_iter().flatten())
}

/// A problem that many routes have for the same reason, beside the reasons of their own.
fn say(responses: &mut Map<String, Value>, status: &str, reason: &str, headers: Value) {
    let description = match responses.get(status).and_then(|response| response["description"].as_str()) {
        Some(other) => format!("{other} {reason}"),
        None => reason.to_owned(),
    };
    let content = json!({ "application/json": { "schema": { "$ref": PROBLEM } } });
    let response = json!({ "description": description, "headers": headers, "content": content });
    responses.insert(status.to_owned(), response);
}

/// What took tokens, or lacked them, tells the rate.
fn tell_rates(responses: &mut Map<String, Value>) {
    for (status, response) in responses {
        if status == "401" || status == "403" {
            continue;
        }
        for (name, description) in [
            ("RateLimit-Policy", "`q` events in `w` seconds, such as `\"tenant\";q=2000;w=2`"),
            ("RateLimit", "`r` are left, such as `\"tenant\";r=1874`; after `t` seconds there are enough"),
        ] {
            response["headers"][name] = json!({ "description": description, "schema": { "type": "string" } });
        }
    }
}

/// A problem is `application/problem+json`, whatever the macros say.
fn name_type_of_problems(response: &mut Value) {
    let Some(content) = response.get_mut("content").and_then(Value::as_object_mut) else { return };
    let is_problem = content.get("application/json").is_some_and(|json| json["schema"]["$ref"] == PROBLEM);
    if is_problem && let Some(problem) = content.remove("application/json") {
        content.insert("application/problem+json".to_owned(), problem);
    }
}

fn of_parameter(name: &str) -> Option<Value> {
    Some(match name {
        "limit" => json!({ "type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT }),
        "after" | "before" | "Trunkline-Deliver-At" => json!({ "type": "string", "format": "date-time" }),
        "bucket" => json!({ "type": "string", "enum": ["1m", "5m", "1h", "1d"] }),
        "status" => {
            json!({ "type": "string", "enum": ["PENDING", "DELIVERED", "FAILED", "CANCELLED", "UNROUTED"] })
        }
        "type" | "Trunkline-Event-Type" => text(VISIBLE),
        "Idempotency-Key" => text("^[!-~]{1,255}$"),
        "Trunkline-Ordering-Key" => text("^[!-~]{1,256}$"),
        "next_token" => text("^[A-Za-z0-9_-]{1,512}$"),
        "payload" => json!({ "type": "string", "pattern": MEMBER, "maxLength": 500 }),
        "tenant_id" => text("^[a-z0-9-]{3,50}$"),
        "event_id" => text("^evt_[0-9a-f]{32}$"),
        "endpoint_id" => text("^ep_[0-9a-f]{32}$"),
        "replay_id" => text("^rpl_[0-9a-f]{32}$"),
        "erasure_id" => text("^ers_[0-9a-f]{32}$"),
        "key_id" => text("^key_[0-9a-f]{32}$"),
        _ => return None,
    })
}

fn of_property(schema: &str, name: &str) -> Value {
    match (schema, name) {
        ("Change", "status") => json!({ "enum": ["PENDING"] }),
        ("Predicate", "status") => json!({ "enum": ["DELIVERED", "FAILED", "CANCELLED", "UNROUTED", null] }),
        ("Draft", "payload") => json!({ "type": "object" }),
        ("ErasureRequest", "payload") => json!({ "pattern": MEMBER, "maxLength": 500 }),
        ("TypeDescription", "schema") => json!({ "type": ["object", "boolean", "null"] }),
        ("KeyRequest", "name") => {
            json!({ "pattern": "^[^\\x00-\\x1f\\x7f-\\x9f]*$", "minLength": 1, "maxLength": 100 })
        }
        ("BatchRequest", "events") => json!({ "minItems": 1, "maxItems": 1_000 }),
        (_, "after" | "before" | "deliver_at" | "expires_at") => json!({ "format": "date-time" }),
        (_, "type") => json!({ "pattern": VISIBLE }),
        (_, "idempotency_key") => json!({ "pattern": "^[!-~]{1,255}$" }),
        (_, "ordering_key") => json!({ "pattern": "^[!-~]{1,256}$" }),
        (_, "event_ids") => {
            json!({ "maxItems": 1_000, "items": { "type": "string", "pattern": "^evt_[0-9a-f]{32}$" } })
        }
        (_, "endpoint_id" | "to_endpoint_id") => json!({ "pattern": "^ep_[0-9a-f]{32}$" }),
        (_, "next_token") => json!({ "pattern": "^[A-Za-z0-9_-]{1,512}$" }),
        (_, "webhook_secret") => json!({ "pattern": SECRET }),
        (_, "url" | "target_url") => json!({ "format": "uri", "maxLength": 2_048 }),
        (_, "tenant_id") => json!({ "pattern": "^(?!current$)[a-z0-9-]{3,50}$" }),
        (_, "overlap_seconds") => json!({ "minimum": 0, "maximum": 604_800 }),
        ("TenantChange", "rate_per_second") => json!({ "minimum": 0, "maximum": 1_000_000 }),
        ("TenantChange", "burst") => json!({ "minimum": 1, "maximum": 1_000_000 }),
        (_, "retention_days") => json!({ "minimum": 1, "maximum": 3_650 }),
        (_, "rate" | "rate_per_second") => json!({ "minimum": 1, "maximum": 10_000 }),
        (_, "in_flight_max") => json!({ "minimum": 1, "maximum": 1_000 }),
        (_, "timeout_ms") => json!({ "minimum": 1_000 }),
        (_, "retry_schedule_ms") => {
            json!({ "maxItems": 20, "items": { "type": "integer", "minimum": 1_000, "maximum": 604_800_000 } })
        }
        (_, "ordering") => json!({ "enum": ["none", "skip", "block", null] }),
        (_, "name") => json!({ "pattern": LABEL, "maxLength": 100 }),
        (_, "description") => json!({ "pattern": TEXT, "maxLength": 500 }),
        (_, "metadata") => json!({
            "maxProperties": 50,
            "propertyNames": { "pattern": LABEL, "maxLength": 64 },
            "additionalProperties": { "type": "string", "pattern": TEXT, "maxLength": 500 },
        }),
        (_, "event_types") => {
            json!({ "minItems": 1, "maxItems": 100, "items": { "type": "string", "pattern": VISIBLE } })
        }
        (_, "custom_headers") => json!({ "maxProperties": 20 }),
        _ => json!({}),
    }
}

fn text(pattern: &str) -> Value {
    json!({ "type": "string", "pattern": pattern })
}

fn merge(schema: &mut Value, rule: Value) {
    if let (Value::Object(schema), Value::Object(rule)) = (schema, rule) {
        schema.extend(rule);
    }
}
