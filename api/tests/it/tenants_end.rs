//! A tenant is deleted: nothing of it is sent, read or kept but its history.

use serde_json::json;
use trunkline_testkit::{Client, OPERATOR_KEY, eventually};

use crate::house::{House, problem};

#[tokio::test]
async fn a_deleted_tenant_loses_keys_endpoints_secrets_deliveries_and_payloads_and_keeps_its_name() {
    let house = House::new().await;
    let (_, globex) = house.tenant("globex").await;
    let theirs = globex.post("/v1/events", "{}").await.json()["event_id"].clone();
    let delivered = house.publish("{}").await;
    house.set(&delivered, "DELIVERED").await;
    let dead = house.publish("{}").await;
    house.set(&dead, "DEAD").await;
    house.publish("{}").await;
    let failed = house.publish("{}").await;
    house.set(&failed, "FAILED").await;
    house.client.put("/v1/event-types/t", "{}").await;

    let operator = house.anyone.bearer(OPERATOR_KEY);
    problem(&house.client.delete("/v1/tenants/acme").await, 403, "operator_only");
    problem(&operator.delete("/v1/tenants/nobody").await, 404, "tenant_not_found");
    let deleted = operator.delete("/v1/tenants/acme").await;
    assert_eq!(
        (deleted.status, deleted.json()),
        (
            200,
            json!({"tenant_id": "acme", "status": "DELETED", "keys_revoked": 1, "endpoints_deleted": 1,
            "deliveries_cancelled": 2, "payloads_erased": 4, "more": true})
        )
    );
    problem(&house.client.get("/v1/events").await, 401, "unauthenticated");
    problem(&operator.get("/v1/tenants/acme").await, 404, "tenant_not_found");
    let again =
        operator.post("/v1/tenants", r#"{"tenant_id":"acme","target_url":"https://example.com/"}"#).await;
    problem(&again, 409, "tenant_exists");
    let left = "SELECT concat_ws(' ', (SELECT count(*) FROM trunkline.endpoint_secrets WHERE tenant_id = 'acme'),
        (SELECT count(*) FROM trunkline.payloads WHERE tenant_id = 'acme'), (SELECT count(*) FROM trunkline.event_types),
        (SELECT string_agg(status::text, ' ' ORDER BY event_id) FROM trunkline.deliveries WHERE tenant_id = 'acme'))";
    assert_eq!(house.database.text(left).await, "0 0 0 DELIVERED FAILED CANCELLED CANCELLED");

    // A process that saw the key lately may take an event in for a moment: it is looked for until nobody can.
    let last = eventually("nothing is left", async || {
        let deleted = operator.delete("/v1/tenants/acme").await.json();
        (deleted["more"] == false).then_some(deleted)
    })
    .await;
    assert_eq!((&last["keys_revoked"], &last["payloads_erased"]), (&json!(0), &json!(0)));
    let event = globex.get(&format!("/v1/events/{}", theirs.as_str().unwrap())).await.json()["event"].clone();
    assert_eq!(
        (&event["status"], &event["payload"]),
        (&json!("PENDING"), &json!({})),
        "nobody else is touched"
    );
}

#[tokio::test]
async fn keys_of_a_deleted_tenant_are_refused_by_every_replica_within_five_seconds() {
    let house = House::new().await;
    let replica = crate::house::Door::start(&house.settings).await;
    let there = Client::local(replica.port).bearer(&house.acme.api_key);
    assert_eq!(there.get("/v1/events").await.status, 200);
    let operator = house.anyone.bearer(OPERATOR_KEY);
    assert_eq!(operator.delete("/v1/tenants/acme").await.status, 200);
    let deleted_at = std::time::Instant::now();
    eventually("the key is refused", async || (there.get("/v1/events").await.status == 401).then_some(()))
        .await;
    assert!(deleted_at.elapsed() < std::time::Duration::from_secs(5), "{:?}", deleted_at.elapsed());
    replica.stop().await;
}
