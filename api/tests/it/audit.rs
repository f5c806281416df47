//! Who switched what: written with the switch, read by operators.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Value, json};
use trunkline_testkit::{Client, OPERATOR_KEY, Reply};

use crate::house::{House, problem};

/// Oldest first, without ids and times.
async fn entries(house: &House, query: &str) -> Vec<Value> {
    let page = house.anyone.bearer(OPERATOR_KEY).get(&format!("/v1/audit{query}")).await.json();
    let mut entries = page["entries"].as_array().unwrap_or_else(|| panic!("{page}")).clone();
    entries.reverse();
    for entry in &mut entries {
        let entry = entry.as_object_mut().unwrap();
        assert!(entry.remove("audit_id").unwrap().as_str().unwrap().starts_with("adt_"));
        entry.remove("at");
    }
    entries
}

/// Routes that change something and leave no row: traffic, which history shows.
const TRAFFIC: [&str; 8] = [
    "publishEvent",
    "publishBatch",
    "matchEvent",
    "testEndpoint",
    "retryEvent",
    "retryDelivery",
    "changeEvent",
    "cancelEvent",
];

/// One request, and the row that it leaves. `{name}` in a path or a target stands for what an earlier answer said.
struct Step {
    operation: &'static str,
    request: (&'static str, &'static str),
    body: &'static str,
    action: &'static str,
    target: &'static str,
    /// What later steps call the text at this place of the answer.
    learns: Option<(&'static str, &'static str)>,
}

const fn step(
    operation: &'static str,
    request: (&'static str, &'static str),
    action: &'static str,
    target: &'static str,
) -> Step {
    Step { operation, request, body: "", action, target, learns: None }
}

impl Step {
    const fn body(self, body: &'static str) -> Self {
        Self { body, ..self }
    }

    const fn learns(self, name: &'static str, place: &'static str) -> Self {
        Self { learns: Some((name, place)), ..self }
    }
}

const URL: &str = r#"{"target_url":"http://127.0.0.1:9999/new"}"#;

#[rustfmt::skip]
const BY_TENANT: &[Step] = &[
    step("disableEndpoint", ("POST", "/v1/endpoints/{first}/disable"), "endpoint.disable", "{first}"),
    step("enableEndpoint", ("POST", "/v1/endpoints/{first}/enable"), "endpoint.enable", "{first}"),
    step("pauseEndpoint", ("POST", "/v1/endpoints/{first}/pause"), "endpoint.pause", "{first}"),
    step("resumeEndpoint", ("POST", "/v1/endpoints/{first}/resume"), "endpoint.resume", "{first}"),
    step("rotateEndpointSecret", ("POST", "/v1/endpoints/{first}/rotate-secret"), "endpoint.rotate_secret", "{first}").body("{}"),
    step("changeEndpoint", ("PATCH", "/v1/endpoints/{first}"), "endpoint.change", "{first}").body(r#"{"description":"news"}"#),
    step("createEndpoint", ("POST", "/v1/endpoints"), "endpoint.create", "{more}")
        .body(r#"{"name":"more","url":"http://127.0.0.1:9999/"}"#).learns("more", "/endpoint/endpoint_id"),
    step("deleteEndpoint", ("DELETE", "/v1/endpoints/{more}"), "endpoint.delete", "{more}"),
    step("setOperationalEndpoint", ("PUT", "/v1/tenants/current/operational-endpoint"), "endpoint.create", "{news}")
        .body(r#"{"url":"http://127.0.0.1:9999/news"}"#).learns("news", "/endpoint/endpoint_id"),
    step("setOperationalEndpoint", ("PUT", "/v1/tenants/current/operational-endpoint"), "endpoint.change", "{news}")
        .body(r#"{"url":"http://127.0.0.1:9999/other"}"#),
    step("deleteOperationalEndpoint", ("DELETE", "/v1/tenants/current/operational-endpoint"), "endpoint.delete", "{news}"),
    step("createApiKey", ("POST", "/v1/api-keys"), "api_key.create", "{key}")
        .body(r#"{"name":"report","scopes":["read"]}"#).learns("key", "/key_id"),
    step("revokeApiKey", ("DELETE", "/v1/api-keys/{key}"), "api_key.revoke", "{key}"),
    step("describeEventType", ("PUT", "/v1/event-types/order.paid"), "event_type.describe", "order.paid").body(r#"{"retention_days":7}"#),
    step("deleteEventType", ("DELETE", "/v1/event-types/order.paid"), "event_type.delete", "order.paid"),
    step("startReplay", ("POST", "/v1/replays"), "replay.start", "{replay}").body("{}").learns("replay", "/replay_id"),
    step("pauseReplay", ("POST", "/v1/replays/{replay}/pause"), "replay.pause", "{replay}"),
    step("resumeReplay", ("POST", "/v1/replays/{replay}/resume"), "replay.resume", "{replay}"),
    step("cancelReplay", ("DELETE", "/v1/replays/{replay}"), "replay.cancel", "{replay}"),
    step("requeueDeadLetters", ("POST", "/v1/dead-letters/requeue"), "dead_letters.requeue", "").body(r#"{"type":"one"}"#),
    step("purgeDeadLetters", ("POST", "/v1/dead-letters/purge"), "dead_letters.purge", "").body(r#"{"type":"two"}"#),
    step("erasePayload", ("DELETE", "/v1/events/{event}/content"), "payloads.erase", "{event}"),
    step("erasePayloads", ("POST", "/v1/erasures"), "payloads.erase", "{erasure}").body(r#"{"type":"two"}"#).learns("erasure", "/erasure_id"),
    step("changeOwnTenant", ("PATCH", "/v1/tenants/current"), "tenant.change", "").body(URL),
];

#[rustfmt::skip]
const BY_OPERATOR: &[Step] = &[
    step("changeTenant", ("PATCH", "/v1/tenants/acme"), "tenant.change", "").body(URL),
    step("suspendTenant", ("POST", "/v1/tenants/acme/suspend"), "tenant.suspend", ""),
    step("resumeTenant", ("POST", "/v1/tenants/acme/resume"), "tenant.resume", ""),
    step("deleteTenant", ("DELETE", "/v1/tenants/acme"), "tenant.delete", ""),
    step("createTenant", ("POST", "/v1/tenants"), "tenant.create", "").body(r#"{"tenant_id":"initech","target_url":"http://127.0.0.1:9999/"}"#),
];

/// Asked a second time they change nothing, and leave no row.
const ONCE: [&str; 6] = [
    "revokeApiKey",
    "requeueDeadLetters",
    "purgeDeadLetters",
    "erasePayload",
    "erasePayloads",
    "deleteTenant",
];

fn filled(template: &str, known: &HashMap<&str, String>) -> String {
    known.iter().fold(template.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}

async fn send(client: &Client, step: &Step, known: &HashMap<&str, String>) -> Reply {
    let (method, path) = step.request;
    let headers: &[_] = if step.body.is_empty() { &[] } else { &[("content-type", "application/json")] };
    client.send(method.parse().unwrap(), &filled(path, known), step.body, headers).await
}

#[tokio::test]
async fn every_route_that_changes_something_is_written_down_or_is_traffic() {
    let house = House::new().await;
    let operator = house.anyone.bearer(OPERATOR_KEY);
    let key_id = house.client.get("/v1/api-keys").await.json()["api_keys"][0]["key_id"].clone();
    let mut known = HashMap::from([("first", house.acme.endpoint_id.to_string())]);
    for kind in ["one", "two"] {
        let event_id = house.publish(&format!(r#"{{"type":"{kind}"}}"#)).await;
        house.set(&event_id, "DEAD").await;
        known.entry("event").or_insert(event_id);
    }
    let by_tenant = (&house.client, format!("key:{}", key_id.as_str().unwrap()), BY_TENANT);
    let by_operator =
        (&operator, format!("operator:{}", trunkline_vault::fingerprint(OPERATOR_KEY)), BY_OPERATOR);
    let mut expected = Vec::new();
    for (client, actor, steps) in [by_tenant, by_operator] {
        for step in steps {
            let reply = send(client, step, &known).await;
            assert!(reply.status < 300, "{}: {}", step.operation, String::from_utf8_lossy(&reply.body));
            if let Some((name, place)) = step.learns {
                known.insert(name, reply.json().pointer(place).unwrap().as_str().unwrap().to_owned());
            }
            let tenant_id = if step.operation == "createTenant" { "initech" } else { "acme" };
            let target = Some(filled(step.target, &known)).filter(|target| !target.is_empty());
            expected.push(
                json!({"actor": actor, "action": step.action, "tenant_id": tenant_id, "target": target,
                "request_id": reply.header("x-request-id")}),
            );
            if ONCE.contains(&step.operation) {
                let again = send(client, step, &known).await;
                assert!(again.status < 300, "{}: {}", step.operation, String::from_utf8_lossy(&again.body));
            }
        }
    }
    assert_eq!(entries(&house, "").await, expected);
    assert_eq!(entries(&house, "?tenant_id=acme").await.len(), expected.len() - 1);
    let rows = house.database.text("SELECT string_agg(a::text, '') FROM trunkline.audit AS a").await;
    assert!(!rows.contains(OPERATOR_KEY) && !rows.contains(&house.acme.api_key), "no key is in it");

    let document = house.anyone.get("/v1/openapi.json").await.json();
    let methods = document["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap());
    let changing: BTreeSet<&str> = methods
        .filter(|(method, _)| ["post", "put", "patch", "delete"].contains(&method.as_str()))
        .map(|(_, operation)| operation["operationId"].as_str().unwrap())
        .collect();
    let steps = BY_TENANT.iter().chain(BY_OPERATOR).map(|step| step.operation);
    assert_eq!(changing, steps.chain(TRAFFIC).collect(), "a route is missing from this test");
}

#[tokio::test]
async fn a_switch_that_did_not_happen_is_not_written_down() {
    let house = House::new().await;
    let unknown = "ep_01a20ada2c007abc8123456789abcdef";
    problem(
        &house.client.post(&format!("/v1/endpoints/{unknown}/pause"), "").await,
        404,
        "endpoint_not_found",
    );
    let operator = house.anyone.bearer(OPERATOR_KEY);
    problem(&operator.post("/v1/tenants/nobody/suspend", "").await, 404, "tenant_not_found");
    // Nor does anything happen that cannot be written down.
    house.database.break_by("REVOKE INSERT ON trunkline.audit FROM trunkline_api").await;
    let path = format!("/v1/endpoints/{}", house.acme.endpoint_id);
    assert_eq!(house.client.post(&format!("{path}/pause"), "").await.status, 500);
    assert_eq!(house.client.get(&path).await.json()["endpoint"]["paused"], false);
    assert_eq!(house.database.text("SELECT count(*) FROM trunkline.audit").await, "0");
}

#[tokio::test]
async fn the_audit_is_read_in_pages_by_operators_only() {
    let house = House::new().await;
    let operator = house.anyone.bearer(OPERATOR_KEY);
    for _ in 0..3 {
        operator.post("/v1/tenants/acme/suspend", "").await;
        operator.post("/v1/tenants/acme/resume", "").await;
    }
    let mut seen = Vec::new();
    let mut path = "/v1/audit?limit=4&tenant_id=acme".to_owned();
    loop {
        let page = operator.get(&path).await;
        seen.extend(page.json()["entries"].as_array().unwrap().iter().map(|entry| entry["action"].clone()));
        let Some(token) = page.json()["next_token"].as_str().map(str::to_owned) else { break };
        assert!(page.header("link").contains("rel=\"next\""));
        path = format!("/v1/audit?limit=4&tenant_id=acme&next_token={token}");
    }
    assert_eq!(seen, ["tenant.resume", "tenant.suspend"].repeat(3), "newest first, each once");
    let other = path.replace("acme", "globex");
    problem(&operator.get(&other).await, 400, "invalid_query");
    assert_eq!(entries(&house, "?before=2020-01-01T00:00:00Z").await.len(), 0);
    assert_eq!(entries(&house, "?after=2020-01-01T00:00:00Z").await.len(), 6);
    problem(&house.client.get("/v1/audit").await, 403, "operator_only");
    problem(&operator.get("/v1/audit?action=tenant.create").await, 400, "invalid_query");
}
