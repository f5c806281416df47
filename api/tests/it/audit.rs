//! Who switched what: written with the switch, read by operators.

use serde_json::{Value, json};
use trunkline_testkit::{OPERATOR_KEY, Reply};

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

#[tokio::test]
async fn every_switch_of_a_tenant_and_action_of_an_operator_is_written_down() {
    let house = House::new().await;
    let operator = house.anyone.bearer(OPERATOR_KEY);
    let endpoint = house.acme.endpoint_id.to_string();
    let path = format!("/v1/endpoints/{endpoint}");
    let key_id = house.client.get("/v1/api-keys").await.json()["api_keys"][0]["key_id"].clone();
    let by_key = format!("key:{}", key_id.as_str().unwrap());
    let mut expected = Vec::new();
    let mut note = |reply: &Reply, actor: &str, action: &str, target: Value| {
        assert!(reply.status < 300, "{action}: {}", String::from_utf8_lossy(&reply.body));
        expected.push(json!({"actor": actor, "action": action, "tenant_id": "acme", "target": target,
            "request_id": reply.header("x-request-id")}));
    };
    for switch in ["disable", "enable", "pause", "resume"] {
        let reply = house.client.post(&format!("{path}/{switch}"), "").await;
        note(&reply, &by_key, &format!("endpoint.{switch}"), json!(endpoint));
    }
    let reply = house.client.post(&format!("{path}/rotate-secret"), "{}").await;
    note(&reply, &by_key, "endpoint.rotate_secret", json!(endpoint));
    let reply = house.client.patch(&path, r#"{"description":"news"}"#).await;
    note(&reply, &by_key, "endpoint.change", json!(endpoint));
    let reply = house.client.post("/v1/endpoints", r#"{"name":"more","url":"http://127.0.0.1:9999/"}"#).await;
    let more = reply.json()["endpoint"]["endpoint_id"].clone();
    note(&reply, &by_key, "endpoint.create", more.clone());
    let reply = house.client.delete(&format!("/v1/endpoints/{}", more.as_str().unwrap())).await;
    note(&reply, &by_key, "endpoint.delete", more);
    let reply = house.client.post("/v1/api-keys", r#"{"name":"report","scopes":["read"]}"#).await;
    let report = reply.json()["key_id"].clone();
    note(&reply, &by_key, "api_key.create", report.clone());
    let revoke = format!("/v1/api-keys/{}", report.as_str().unwrap());
    let reply = house.client.delete(&revoke).await;
    note(&reply, &by_key, "api_key.revoke", report);
    assert_eq!(house.client.delete(&revoke).await.status, 200, "a second time changes nothing");
    let url = r#"{"target_url":"http://127.0.0.1:9999/new"}"#;
    note(&house.client.patch("/v1/tenants/current", url).await, &by_key, "tenant.change", Value::Null);

    let by_operator = format!("operator:{}", trunkline_vault::fingerprint(OPERATOR_KEY));
    note(&operator.patch("/v1/tenants/acme", url).await, &by_operator, "tenant.change", Value::Null);
    for switch in ["suspend", "resume"] {
        let reply = operator.post(&format!("/v1/tenants/acme/{switch}"), "").await;
        note(&reply, &by_operator, &format!("tenant.{switch}"), Value::Null);
    }
    note(&operator.delete("/v1/tenants/acme").await, &by_operator, "tenant.delete", Value::Null);
    operator.delete("/v1/tenants/acme").await;
    assert_eq!(entries(&house, "?tenant_id=acme").await, expected);

    let made = operator
        .post("/v1/tenants", r#"{"tenant_id":"initech","target_url":"http://127.0.0.1:9999/"}"#)
        .await;
    assert_eq!(made.status, 201);
    let all = entries(&house, "").await;
    assert_eq!(all.len(), expected.len() + 1);
    assert_eq!(all.last().unwrap()["action"], "tenant.create");
    let rows = house.database.text("SELECT string_agg(a::text, '') FROM trunkline.audit AS a").await;
    assert!(!rows.contains(OPERATOR_KEY) && !rows.contains(&house.acme.api_key), "no key is in it");
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
