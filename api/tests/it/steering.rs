//! Retry and cancel by hand.

use trunkline_testkit::seed_endpoint;

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

#[tokio::test]
async fn one_delivery_is_retried_alone() {
    let house = House::new().await;
    let url = "http://127.0.0.1:9999/second";
    let second = seed_endpoint(&house.database, &house.settings, &house.acme, "second", url).await;
    let id = house.publish("{}").await;
    let path = format!("/v1/events/{id}/deliveries/{second}/retry");
    let refused = problem(&house.client.post(&path, "").await, 400, "not_retryable");
    assert!(refused["detail"].as_str().unwrap().contains("PENDING"));
    house.set(&id, "DEAD").await;
    let retried = house.client.post(&path, "").await;
    assert_eq!(retried.status, 200);
    let body = retried.json();
    assert_eq!(
        (&body["event_id"], &body["endpoint_id"], &body["status"]),
        (&serde_json::json!(id), &serde_json::json!(second), &serde_json::json!("PENDING"))
    );
    let statuses = format!(
        "SELECT string_agg(status || ' ' || expedited, ', ' ORDER BY endpoint_id) FROM trunkline.deliveries WHERE event_id = '{}'",
        uuid(&id)
    );
    assert_eq!(house.database.text(&statuses).await, "FAILED false, PENDING true");
    problem(&house.client.post(&path, "").await, 400, "not_retryable");
    house.set(&id, "DELIVERED").await;
    let refused = problem(&house.client.post(&path, "").await, 400, "not_retryable");
    assert!(refused["detail"].as_str().unwrap().contains("DELIVERED"));
    house.set(&id, "DEAD").await;
    house.database.execute("UPDATE trunkline.payloads SET payload = NULL").await;
    problem(&house.client.post(&path, "").await, 410, "payload_erased");
}

#[tokio::test]
async fn a_delivery_that_does_not_exist_is_not_retried() {
    let house = House::new().await;
    let id = house.publish("{}").await;
    house.set(&id, "DEAD").await;
    let own = house.acme.endpoint_id;
    for (path, code) in [
        (
            format!("/v1/events/{id}/deliveries/ep_01a20ada2c007abc8123456789abcdef/retry"),
            "delivery_not_found",
        ),
        (format!("/v1/events/{id}/deliveries/nothing/retry"), "delivery_not_found"),
        (
            format!("/v1/events/evt_01a20ada2c007abc8123456789abcdef/deliveries/{own}/retry"),
            "event_not_found",
        ),
        (format!("/v1/events/nothing/deliveries/{own}/retry"), "event_not_found"),
    ] {
        problem(&house.client.post(&path, "").await, 404, code);
    }
    let (_, globex) = house.tenant("globex").await;
    problem(
        &globex.post(&format!("/v1/events/{id}/deliveries/{own}/retry"), "").await,
        404,
        "event_not_found",
    );
}

#[tokio::test]
async fn of_two_retries_of_a_delivery_at_once_one_wins() {
    let house = House::new().await;
    let id = house.publish("{}").await;
    house.set(&id, "FAILED").await;
    let path = format!("/v1/events/{id}/deliveries/{}/retry", house.acme.endpoint_id);
    let (one, two) = tokio::join!(house.client.post(&path, ""), house.client.post(&path, ""));
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400]);
}
