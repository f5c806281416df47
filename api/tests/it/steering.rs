//! Retry and cancel by hand.

use crate::house::{House, problem, uuid};

#[tokio::test]
async fn only_failed_events_are_retried_and_the_detail_says_why_not() {
    let house = House::new().await;
    let id = house.publish("{}").await;
    let path = format!("/v1/events/{id}/retry");
    let refused = problem(&house.client.post(&path, "").await, 400, "not_retryable");
    assert!(refused["detail"].as_str().unwrap().contains("PENDING"));
    for status in ["FAILED", "DEAD"] {
        house.set(&id, status).await;
        let retried = house.client.post(&path, "").await;
        assert_eq!(
            (retried.status, &retried.json()["status"]),
            (200, &serde_json::json!("PENDING")),
            "{status}"
        );
        assert!(retried.json()["message"].is_string());
    }
    house.set(&id, "FAILED").await;
    let patched = house.client.patch(&format!("/v1/events/{id}"), r#"{"status":"PENDING"}"#).await;
    assert_eq!((patched.status, &patched.json()["event_id"]), (200, &serde_json::json!(id)));
    house.set(&id, "DELIVERED").await;
    let refused = problem(&house.client.post(&path, "").await, 400, "not_retryable");
    assert!(refused["detail"].as_str().unwrap().contains("DELIVERED"));
}

#[tokio::test]
async fn an_erased_payload_cannot_be_retried_and_is_shown_as_null() {
    let house = House::new().await;
    let id = house.publish("{}").await;
    house.set(&id, "DEAD").await;
    house.database.execute("UPDATE trunkline.payloads SET payload = NULL").await;
    problem(&house.client.post(&format!("/v1/events/{id}/retry"), "").await, 410, "payload_erased");
    assert!(house.client.get(&format!("/v1/events/{id}")).await.json()["event"]["payload"].is_null());
}

#[tokio::test]
async fn a_cancel_takes_back_what_is_open_once() {
    let house = House::new().await;
    let id = house.publish("{}").await;
    let path = format!("/v1/events/{id}");
    let cancelled = house.client.delete(&path).await;
    assert_eq!(cancelled.status, 200);
    assert_eq!(cancelled.json(), serde_json::json!({"event_id": id, "status": "CANCELLED", "cancelled": 1}));
    problem(&house.client.delete(&path).await, 409, "nothing_to_cancel");
    let dead = house.publish("{}").await;
    house.set(&dead, "DEAD").await;
    problem(&house.client.delete(&format!("/v1/events/{dead}")).await, 409, "nothing_to_cancel");
    let left = format!("SELECT status FROM trunkline.deliveries WHERE event_id = '{}'", uuid(&dead));
    assert_eq!(house.database.text(&left).await, "FAILED", "dead letters stay");
}
