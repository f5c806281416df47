//! Every route with another tenant's key: nothing leaks, nothing changes.

use serde_json::{Value, json};
use trunkline_testkit::Reply;

use crate::house::{House, problem};

#[tokio::test]
async fn a_foreign_event_is_exactly_like_one_that_does_not_exist() {
    let house = House::new().await;
    let id = house.publish(r#"{"secret":"canary"}"#).await;
    house.set(&id, "FAILED").await;
    let (_, globex) = house.tenant("globex").await;
    let unknown = "evt_01a20ada2c007abc8123456789abcdef";
    let ask = async |id: &str| {
        let path = format!("/v1/events/{id}");
        [
            globex.get(&path).await,
            globex.get(&format!("{path}/attempts")).await,
            globex.post(&format!("{path}/retry"), "").await,
            globex.patch(&path, r#"{"status":"PENDING"}"#).await,
            globex.delete(&path).await,
        ]
        .map(|reply| {
            let mut body = problem(&reply, 404, "event_not_found");
            body["request_id"] = json!("");
            body
        })
    };
    assert_eq!(ask(&id).await, ask(unknown).await);
    assert_eq!(globex.get("/v1/events").await.json()["total_count"], 0);
    assert_eq!(
        house.client.get(&format!("/v1/events/{id}")).await.json()["event"]["status"],
        "FAILED",
        "nothing changed"
    );
}

#[tokio::test]
async fn foreign_tenants_and_operator_routes_are_forbidden() {
    let house = House::new().await;
    let (_, globex) = house.tenant("globex").await;
    problem(&globex.get("/v1/tenants/acme").await, 403, "foreign_tenant");
    problem(&globex.get("/v1/tenants/no-such-tenant").await, 403, "foreign_tenant");
    problem(
        &globex.patch("/v1/tenants/acme", r#"{"target_url":"https://example.com/"}"#).await,
        403,
        "foreign_tenant",
    );
    problem(&globex.get("/v1/tenants").await, 403, "operator_only");
    problem(
        &globex.post("/v1/tenants", r#"{"tenant_id":"mine","target_url":"https://example.com/"}"#).await,
        403,
        "operator_only",
    );
    problem(&globex.post("/v1/tenants/acme/suspend", "").await, 403, "operator_only");
    assert_eq!(globex.get("/v1/tenants/globex").await.json()["tenant"]["tenant_id"], "globex");
}

#[tokio::test]
async fn foreign_dead_letters_are_out_of_reach() {
    let house = House::new().await;
    let id = house.publish("{}").await;
    house.set(&id, "DEAD").await;
    let (_, globex) = house.tenant("globex").await;
    assert_eq!(globex.get("/v1/dead-letters").await.json()["total_count"], 0);
    let named = json!({"event_ids": [id]}).to_string();
    assert_eq!(globex.post("/v1/dead-letters/requeue", named.clone()).await.json()["requeued"], 0);
    assert_eq!(globex.post("/v1/dead-letters/purge", named).await.json()["purged"], 0);
    assert_eq!(house.client.get("/v1/dead-letters").await.json()["total_count"], 1);
}

/// What belongs to acme and must not be seen by others.
const CANARY: &str = "canary-of-acme";

/// A house in which acme has one of everything that a path can name, and those names.
pub(crate) async fn furnished() -> (House, Vec<(&'static str, String)>) {
    let house = House::new().await;
    let acme = &house.client;
    let endpoint =
        json!({"name": CANARY, "url": format!("http://127.0.0.1:9999/{CANARY}"), "description": CANARY});
    let endpoint = acme.post("/v1/endpoints", endpoint.to_string()).await.json();
    let event = house.publish(&json!({"type": CANARY, "secret": CANARY}).to_string()).await;
    house.set(&event, "DEAD").await;
    let erased = house.publish(&json!({"type": CANARY}).to_string()).await;
    let erasure = acme.post("/v1/erasures", json!({"event_ids": [erased]}).to_string()).await.json();
    let replay = acme.post("/v1/replays", json!({"type": CANARY}).to_string()).await.json();
    let key = json!({"name": CANARY, "scopes": ["read"]});
    let key = acme.post("/v1/api-keys", key.to_string()).await.json();
    let described =
        acme.put(&format!("/v1/event-types/{CANARY}"), json!({"description": CANARY}).to_string()).await;
    assert_eq!(described.status, 201);
    let text = |value: &Value, name: &str| {
        value[name].as_str().unwrap_or_else(|| panic!("{name}: {value}")).to_owned()
    };
    let names = vec![
        ("endpoint_id", text(&endpoint["endpoint"], "endpoint_id")),
        ("event_id", event),
        ("erasure_id", text(&erasure, "erasure_id")),
        ("replay_id", text(&replay, "replay_id")),
        ("key_id", text(&key, "key_id")),
        ("tenant_id", "acme".to_owned()),
        ("type", CANARY.to_owned()),
    ];
    (house, names)
}

/// A body that the operation accepts, naming what is acme's wherever it can.
pub(crate) fn body(operation: &str, named: impl Fn(&str) -> String) -> Option<Value> {
    let (event, endpoint) = (named("event_id"), named("endpoint_id"));
    Some(match operation {
        "publishEvent" => json!({"type": "mine"}),
        "publishBatch" => json!({"events": [{"type": "mine", "payload": {}}]}),
        "changeEvent" => json!({"status": "PENDING"}),
        "matchEvent" => json!({"type": CANARY, "payload": {}}),
        "erasePayloads" => json!({"event_ids": [event]}),
        "describeEventType" => json!({"description": "mine"}),
        "createApiKey" => json!({"name": "mine", "scopes": ["read"]}),
        "requeueDeadLetters" | "purgeDeadLetters" => json!({"event_ids": [event], "endpoint_id": endpoint}),
        "createEndpoint" => json!({"name": "mine", "url": "http://127.0.0.1:9999/mine"}),
        "changeEndpoint" => json!({"description": "mine"}),
        "rotateEndpointSecret" => json!({}),
        "setOperationalEndpoint" => json!({"url": "http://127.0.0.1:9999/mine"}),
        "startReplay" => json!({"type": CANARY}),
        "createTenant" => json!({"tenant_id": "mine", "target_url": "http://127.0.0.1:9999/mine"}),
        "changeOwnTenant" | "changeTenant" => json!({"target_url": "http://127.0.0.1:9999/mine"}),
        _ => return None,
    })
}

/// Every row that acme has, as one hash a table.
async fn rows_of_acme(house: &House) -> String {
    let tables = "SELECT string_agg(c.relname, ' ' ORDER BY c.relname) FROM pg_class AS c
        JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'tenant_id'
        WHERE c.relnamespace = 'trunkline'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition";
    let mut hashes = Vec::new();
    for table in house.database.text(tables).await.split(' ') {
        // When a key was last used is written down now and then.
        let sql = format!(
            "SELECT md5(string_agg((to_jsonb(t) - 'last_used_at')::text, ',' ORDER BY t::text)) \
             FROM trunkline.{table} AS t WHERE tenant_id = 'acme'"
        );
        hashes.push(format!("{table} {}", house.database.text(&sql).await));
    }
    hashes.join("\n")
}

#[tokio::test]
async fn every_route_with_another_tenants_key_leaks_and_changes_nothing() {
    let (house, names) = furnished().await;
    let (_, globex) = house.tenant("globex").await;
    let named = |name: &str| {
        let found = names.iter().find(|(known, _)| *known == name);
        found.unwrap_or_else(|| panic!("{name} is new in a path: name one of acme's here")).1.clone()
    };
    let before = rows_of_acme(&house).await;
    let document = house.anyone.get("/v1/openapi.json").await.json();
    let mut count = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            let mut address = path.clone();
            let mut query = Vec::new();
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let name = parameter["name"].as_str().unwrap();
                match parameter["in"].as_str().unwrap() {
                    "path" => address = address.replace(&format!("{{{name}}}"), &named(name)),
                    "query" if matches!(name, "endpoint_id" | "type" | "tenant_id") => {
                        query.push(format!("{name}={}", named(name)));
                    }
                    _ => {}
                }
            }
            let asked =
                if query.is_empty() { address.clone() } else { format!("{address}?{}", query.join("&")) };
            let body = body(id, named);
            assert_eq!(
                body.is_some(),
                operation["requestBody"].is_object(),
                "{id} is new here: give it a body, or none"
            );
            let body = body.map(|body| body.to_string()).unwrap_or_default();
            let method = http::Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let reply =
                globex.send(method.clone(), &asked, body, &[("content-type", "application/json")]).await;
            judge(&format!("{method} {asked}"), path, operation, &reply, &names);
            count += 1;
        }
    }
    assert!(count >= 50, "only {count} operations were tried");
    let after = rows_of_acme(&house).await;
    assert_eq!(after, before, "something of acme's was changed");
}

fn judge(what: &str, path: &str, operation: &Value, reply: &Reply, names: &[(&str, String)]) {
    let text = String::from_utf8_lossy(&reply.body).into_owned();
    assert!(reply.status < 500, "{what}: {text}");
    let is_operators = operation["security"] == json!([{"operator": []}]);
    let expected: &[u16] = match path {
        _ if is_operators => &[403],
        "/v1/tenants/{tenant_id}" => &[403],
        // A type is named by whoever describes it: globex may have one of the same name.
        "/v1/event-types/{type}" => &[404, 201],
        _ if path.contains('{') => &[404],
        _ => &[200, 201, 202, 404],
    };
    assert!(expected.contains(&reply.status), "{what}: {} {text}", reply.status);
    // Answers repeat what was asked; of what acme wrote they know nothing.
    let asked = what.replace(CANARY, "");
    for (_, name) in names.iter().filter(|(kind, name)| *kind != "type" && !asked.contains(name.as_str())) {
        assert!(*name == "acme" || !text.contains(name), "{what} shows {name}: {text}");
    }
    let repeats_type = path == "/v1/match" || path == "/v1/replays" || path == "/v1/event-types/{type}";
    assert!(repeats_type || !text.contains(CANARY), "{what}: {text}");
    assert!(!text.contains(&format!("/{CANARY}")), "{what}: {text}");
}
