//! Every route with another tenant's key: nothing leaks, nothing changes.

use serde_json::json;

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
