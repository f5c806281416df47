//! Dead letters: listed, requeued, purged.

use serde_json::json;
use trunkline_testkit::seed_endpoint;

use crate::house::{House, problem, uuid};

#[tokio::test]
async fn dead_letters_are_listed_in_pages_requeued_and_purged_with_counts() {
    let house = House::new().await;
    let mut dead = Vec::new();
    for number in 0..5 {
        let id = house.publish(&format!("{{\"type\":\"kind.{}\"}}", number % 2)).await;
        house.set(&id, "DEAD").await;
        dead.push(id);
    }
    let waiting = house.publish("{}").await;
    house.set(&waiting, "FAILED").await;
    let first = house.client.get("/v1/dead-letters?limit=3").await.json();
    assert_eq!(first["total_count"], 3);
    assert_eq!(first["dead_letters"][0]["event_id"], json!(dead[4]), "newest first");
    let rest = house
        .client
        .get(&format!("/v1/dead-letters?limit=3&next_token={}", first["next_token"].as_str().unwrap()))
        .await
        .json();
    assert_eq!((rest["total_count"].clone(), rest.get("next_token")), (json!(2), None));
    assert_eq!(house.client.get("/v1/dead-letters?type=kind.1").await.json()["total_count"], 2);

    let requeued = house.client.post("/v1/dead-letters/requeue", r#"{"type":"kind.1"}"#).await;
    assert_eq!((requeued.status, requeued.json()), (200, json!({"requeued": 2, "more": false})));
    let named = json!({"event_ids": [dead[0], waiting]}).to_string();
    assert_eq!(
        house.client.post("/v1/dead-letters/purge", named).await.json(),
        json!({"purged": 1, "more": false})
    );
    assert_eq!(house.client.post("/v1/dead-letters/purge", "{}").await.json()["purged"], 2);
    assert_eq!(house.client.get("/v1/dead-letters").await.json()["total_count"], 0);
    let counts = "SELECT string_agg(status || ' ' || n, ', ' ORDER BY status) FROM (SELECT status, count(*) AS n FROM trunkline.deliveries GROUP BY status) AS s";
    assert_eq!(house.database.text(counts).await, "PENDING 2, FAILED 1, CANCELLED 3");
}

#[tokio::test]
async fn every_filter_chooses_for_listing_requeue_and_purge() {
    let house = House::new().await;
    let url = "http://127.0.0.1:9999/second";
    let second = seed_endpoint(&house.database, &house.settings, &house.acme, "second", url).await;
    let (old, new) = (house.publish(r#"{"type":"a"}"#).await, house.publish(r#"{"type":"b"}"#).await);
    for id in [&old, &new] {
        house.set(id, "DEAD").await;
    }
    let age = format!(
        "UPDATE trunkline.deliveries SET created_at = '2026-01-01T00:00:00Z' WHERE event_id = '{}'",
        uuid(&old)
    );
    house.database.execute(&age).await;
    let counted = async |filter: serde_json::Value| {
        let query: Vec<String> = filter
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| format!("{name}={}", value.as_str().unwrap()))
            .collect();
        let listed = house.client.get(&format!("/v1/dead-letters?{}", query.join("&"))).await.json();
        listed["total_count"].as_u64().unwrap()
    };
    for (filter, expected) in [
        (json!({}), 4),
        (json!({ "type": "a" }), 2),
        (json!({ "type": "c" }), 0),
        (json!({ "endpoint_id": second }), 2),
        (json!({ "endpoint_id": second, "type": "b" }), 1),
        (json!({ "after": "2026-01-01T00:00:00Z" }), 2),
        (json!({ "after": "2025-12-31T23:59:59Z" }), 4),
        (json!({ "before": "2026-01-01T00:00:00Z" }), 0),
        (json!({ "before": "2026-01-01T00:00:01Z" }), 2),
        (json!({ "after": "2025-12-31T00:00:00Z", "before": "2026-01-02T00:00:00Z", "type": "a" }), 2),
    ] {
        assert_eq!(counted(filter.clone()).await, expected, "{filter}");
    }
    let settle = async |action: &str, filter: serde_json::Value| {
        house.client.post(&format!("/v1/dead-letters/{action}"), filter.to_string()).await.json()
    };
    assert_eq!(settle("requeue", json!({ "endpoint_id": second, "type": "a" })).await["requeued"], 1);
    assert_eq!(settle("requeue", json!({ "before": "2026-01-01T00:00:00Z" })).await["requeued"], 0);
    assert_eq!(settle("purge", json!({ "before": "2026-06-01T00:00:00Z" })).await["purged"], 1);
    assert_eq!(settle("purge", json!({ "endpoint_id": second })).await["purged"], 1);
    assert_eq!(settle("requeue", json!({ "after": "2026-06-01T00:00:00Z" })).await["requeued"], 1);
    assert_eq!(counted(json!({})).await, 0);
    let refused = house.client.post("/v1/dead-letters/purge", r#"{"after":"yesterday"}"#).await;
    assert_eq!(problem(&refused, 422, "invalid_field")["errors"][0]["field"], "after");
}
