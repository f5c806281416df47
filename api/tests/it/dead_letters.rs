//! Dead letters: listed, requeued, purged.

use serde_json::json;
use trunkline_store::wake::{Session, Wake};
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

#[tokio::test]
async fn a_dead_letter_whose_endpoint_was_deleted_is_not_brought_back() {
    let house = House::new().await;
    let id = house.publish("{}").await;
    house.set(&id, "DEAD").await;
    let endpoint = house.acme.endpoint_id;
    assert_eq!(house.client.delete(&format!("/v1/endpoints/{endpoint}")).await.status, 200);
    let retry = house.client.post(&format!("/v1/events/{id}/retry"), "").await;
    problem(&retry, 410, "endpoint_deleted");
    let one = house.client.post(&format!("/v1/events/{id}/deliveries/{endpoint}/retry"), "").await;
    problem(&one, 410, "endpoint_deleted");
    let requeued = house.client.post("/v1/dead-letters/requeue", "{}").await;
    assert_eq!(requeued.json(), json!({"requeued": 0, "more": false}));
    let row = "SELECT status || ' ' || (due_at IS NULL) FROM trunkline.deliveries";
    assert_eq!(house.database.text(row).await, "FAILED true");
}

#[tokio::test]
async fn what_exceeds_one_request_is_settled_by_the_next_from_where_it_stopped() {
    let house = House::new().await;
    let id = house.publish("{}").await;
    house.set(&id, "DEAD").await;
    let many = "
        WITH made AS (
            INSERT INTO trunkline.events (lane, tenant_id, event_id, payload_sha256, payload_bytes, created_at, routed)
            SELECT lane, tenant_id, trunkline.uuid_v7(), payload_sha256, payload_bytes, created_at, routed
            FROM trunkline.events, generate_series(1, 10499)
            RETURNING event_id
        )
        INSERT INTO trunkline.deliveries (lane, tenant_id, event_id, endpoint_id, status, attempts, cycle_attempts, last_attempt_at, created_at, finished_at)
        SELECT lane, tenant_id, made.event_id, endpoint_id, status, attempts, cycle_attempts, last_attempt_at, created_at, finished_at
        FROM trunkline.deliveries, made";
    house.database.execute(many).await;
    let first = house.client.post("/v1/dead-letters/purge", "{}").await.json();
    assert_eq!(first["more"], true);
    let mut purged = first["purged"].as_u64().unwrap();
    let mut next = json!({ "next_token": first["next_token"] }).to_string();
    let other_filter = json!({ "type": "a", "next_token": first["next_token"] }).to_string();
    problem(&house.client.post("/v1/dead-letters/purge", other_filter).await, 422, "invalid_field");
    problem(&house.client.post("/v1/dead-letters/requeue", next.clone()).await, 422, "invalid_field");
    // Above the token nothing is looked at again, not even what became a dead letter meanwhile.
    let late = house.publish("{}").await;
    house.set(&late, "DEAD").await;
    loop {
        let reply = house.client.post("/v1/dead-letters/purge", next).await.json();
        purged += reply["purged"].as_u64().unwrap();
        if reply["more"] == false {
            break;
        }
        next = json!({ "next_token": reply["next_token"] }).to_string();
    }
    assert_eq!(purged, 10_500);
    assert_eq!(house.client.get("/v1/dead-letters").await.json()["dead_letters"][0]["event_id"], json!(late));
}

/// A hint alone would have workers claim from the oldest day on which something was due.
#[tokio::test]
async fn what_is_let_go_by_hand_is_looked_for_however_old_it_is() {
    let house = House::new().await;
    house.database.execute("UPDATE trunkline.endpoints SET ordered = true, ordering_blocks = true").await;
    let mut session = Session::connect(house.database.url(), 1).await.unwrap().unwrap();
    for end in ["purge", "cancel", "erase"] {
        let publish = format!(
            "SELECT trunkline.publish('acme', 'step', '{{}}', ordering_key => '{end}', notify => false)"
        );
        let first = house.database.text(&publish).await;
        house.database.text(&publish).await;
        let path = format!("/v1/events/{first}");
        let reply = match end {
            "purge" => {
                house.set(&first, "DEAD").await;
                let named = json!({"event_ids": [first]}).to_string();
                house.client.post("/v1/dead-letters/purge", named).await
            }
            "cancel" => house.client.delete(&path).await,
            _ => house.client.delete(&format!("{path}/content")).await,
        };
        assert_eq!(reply.status, 200, "{end}");
        assert_eq!(session.next().await.unwrap(), Some(Wake::Look), "{end}");
    }
    let waiting = "SELECT count(*) FROM trunkline.deliveries WHERE held";
    assert_eq!(house.database.text(waiting).await, "0");
}
