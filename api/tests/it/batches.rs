//! Many events in one request: all of them or none, with a result each.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};
use trunkline_testkit::Reply;

use crate::house::{House, problem, uuid};

async fn post(house: &House, body: &str) -> Reply {
    house.client.post("/v1/events/batch", body.to_owned()).await
}

async fn stored(house: &House) -> String {
    house.database.text("SELECT count(*) FROM trunkline.events").await
}

#[tokio::test]
async fn a_batch_is_stored_with_a_result_for_each_item_in_order() {
    let house = House::new().await;
    let payload = "{ \"n\" : 1e999999,\"s\":\"caf\\u00e9 \\u0000\" }";
    let body = format!(
        r#"{{"events":[{{"type":"a.b","payload":{payload}}},{{"payload":{{"type":"c.d"}}}},{{"payload":{{}},"deliver_at":"2020-01-01T00:00:00+02:00"}}]}}"#
    );
    let reply = post(&house, &body).await;
    assert_eq!(reply.status, 201, "{}", String::from_utf8_lossy(&reply.body));
    let events = reply.json()["events"].as_array().unwrap().clone();
    assert_eq!(events.len(), 3);
    let mut types = Vec::new();
    for event in &events {
        assert_eq!(event["status"], "PENDING");
        assert!(event.get("replayed").is_none());
        let id = event["event_id"].as_str().unwrap();
        let sql = format!("SELECT type FROM trunkline.events WHERE event_id = '{}'", uuid(id));
        types.push(house.database.text(&sql).await);
    }
    assert_eq!(types, ["a.b", "c.d", ""]);
    let id = uuid(events[0]["event_id"].as_str().unwrap());
    let kept =
        format!("SELECT convert_from(payload, 'UTF8') FROM trunkline.payloads WHERE event_id = '{id}'");
    assert_eq!(house.database.text(&kept).await, payload, "byte for byte, white space too");
    let sql = "SELECT count(*) FROM trunkline.deliveries WHERE status = 'PENDING' AND due_at IS NOT NULL";
    assert_eq!(house.database.text(sql).await, "3");
}

#[tokio::test]
async fn one_item_that_is_refused_refuses_the_batch_and_is_named() {
    let house = House::new().await;
    let good = r#"{"payload":{"n":1}}"#;
    let long_key = format!(r#"{{"payload":{{}},"ordering_key":"{}"}}"#, "k".repeat(257));
    let large = format!(r#"{{"payload":{{"a":"{}"}}}}"#, "x".repeat(262_144));
    for (bad, field) in [
        (r#"{"payload":[]}"#, "events[1].payload"),
        (r#"{"payload":{"a":1,"a":2}}"#, "events[1].payload"),
        (r#"{"payload":{"a":"\ud800"}}"#, "events[1].payload"),
        (r#"{"payload":{"type":"two words"}}"#, "events[1].type"),
        (r#"{"payload":{},"type":""}"#, "events[1].type"),
        (r#"{"payload":{},"idempotency_key":"two words"}"#, "events[1].idempotency_key"),
        (r#"{"payload":{},"deliver_at":"9999-01-01T00:00:00Z"}"#, "events[1].deliver_at"),
        (r#"{"payload":{},"colour":"red"}"#, "events[1].colour"),
        (r#"{"type":"a"}"#, "events[1].payload"),
        (long_key.as_str(), "events[1].ordering_key"),
        (large.as_str(), "events[1].payload"),
    ] {
        let reply = post(&house, &format!(r#"{{"events":[{good},{bad},{good}]}}"#)).await;
        assert_eq!(reply.status, 422, "{bad:.80}");
        assert_eq!(reply.json()["errors"][0]["field"], field, "{bad:.80}");
    }
    for body in [r#"{"events":[]}"#, r#"{"events":{}}"#, r#"{}"#, "[]", r#"{"events":[],"x":1}"#] {
        assert_eq!(post(&house, body).await.status, 422, "{body}");
    }
    let many = vec![r#"{"payload":{}}"#; 1_001].join(",");
    assert_eq!(post(&house, &format!(r#"{{"events":[{many}]}}"#)).await.status, 422);
    assert_eq!(stored(&house).await, "0");
}

#[tokio::test]
async fn a_thousand_events_are_stored_in_one_request() {
    let house = House::new().await;
    let items: Vec<String> = (0..1_000).map(|n| format!(r#"{{"payload":{{"n":{n}}}}}"#)).collect();
    let body = format!(r#"{{"events":[{}]}}"#, items.join(","));
    let reply = trunkline_testkit::eventually("the api takes the batch", async || {
        let reply = post(&house, &body).await;
        (reply.status != 503).then_some(reply)
    })
    .await;
    assert_eq!(reply.status, 201, "{}", String::from_utf8_lossy(&reply.body));
    assert_eq!(reply.json()["events"].as_array().unwrap().len(), 1_000);
    assert_eq!(stored(&house).await, "1000");
}

#[tokio::test]
async fn a_key_used_before_gives_its_item_the_first_answer() {
    let house = House::new().await;
    let headers = [("content-type", "application/json"), ("idempotency-key", "k1")];
    let first = house.client.send(Method::POST, "/v1/events", r#"{"n":1}"#, &headers).await;
    let first = first.json()["event_id"].clone();
    let body = r#"{"events":[
        {"payload":{"n":2},"idempotency_key":"k2"},
        {"payload":{"n":1},"idempotency_key":"k1"},
        {"payload":{"n":2},"idempotency_key":"k2"},
        {"payload":{"n":3}}]}"#;
    let reply = post(&house, body).await;
    assert_eq!(reply.status, 201, "{}", String::from_utf8_lossy(&reply.body));
    let events = reply.json()["events"].clone();
    assert_eq!((&events[1]["event_id"], &events[1]["replayed"]), (&first, &json!(true)));
    assert_eq!(events[2]["event_id"], events[0]["event_id"], "equal keys of a batch are one event");
    assert_eq!((&events[0]["replayed"], &events[2]["replayed"]), (&Value::Null, &json!(true)));
    assert_eq!(stored(&house).await, "3");

    let again = post(&house, body).await.json()["events"].clone();
    assert_eq!(again[0]["event_id"], events[0]["event_id"]);
    assert_eq!(again[0]["replayed"], true);
    assert_ne!(again[3]["event_id"], events[3]["event_id"], "without a key it is another event");
    assert_eq!(stored(&house).await, "4");
}

#[tokio::test]
async fn a_key_with_another_body_refuses_the_batch_and_names_the_item() {
    let house = House::new().await;
    let headers = [("content-type", "application/json"), ("idempotency-key", "k1")];
    house.client.send(Method::POST, "/v1/events", r#"{"n":1}"#, &headers).await;
    for (items, index) in [
        (r#"{"payload":{"n":0}},{"payload":{"n":9},"idempotency_key":"k1"}"#, 1),
        (
            r#"{"payload":{"n":1},"idempotency_key":"new"},{"payload":{"n":1}},{"payload":{"n":2},"idempotency_key":"new"}"#,
            2,
        ),
    ] {
        let reply = post(&house, &format!(r#"{{"events":[{items}]}}"#)).await;
        assert_eq!((reply.status, &reply.json()["code"]), (422, &json!("idempotency_key_reused")));
        assert_eq!(reply.json()["errors"][0]["field"], format!("events[{index}].idempotency_key"));
    }
    assert_eq!(stored(&house).await, "1");
    assert_eq!(house.database.text("SELECT count(*) FROM trunkline.idempotency_keys").await, "1");
}

#[tokio::test]
async fn a_batch_counts_against_the_rate_as_a_whole() {
    let house = House::with(|settings| {
        settings.ingest.rate_per_tenant = 1;
        settings.ingest.burst_per_tenant = 3;
    })
    .await;
    let two = r#"{"events":[{"payload":{}},{"payload":{}}]}"#;
    assert_eq!(post(&house, two).await.status, 201);
    let refused = post(&house, two).await;
    assert_eq!(refused.status, 429);
    assert!(!refused.header("retry-after").is_empty());
    assert_eq!(stored(&house).await, "2");
}

#[tokio::test]
async fn events_of_one_key_wait_for_each_other_at_an_endpoint_that_delivers_in_order() {
    let house = House::new().await;
    house.database.execute("UPDATE trunkline.endpoints SET ordered = true").await;
    let body = r#"{"events":[{"payload":{},"ordering_key":"a"},{"payload":{},"ordering_key":"a"},{"payload":{},"ordering_key":"b"}]}"#;
    let mut held = Vec::new();
    for event in post(&house, body).await.json()["events"].as_array().unwrap() {
        let path = format!("/v1/events/{}", event["event_id"].as_str().unwrap());
        let shown = house.client.get(&path).await.json()["event"].clone();
        held.push((shown["ordering_key"].clone(), shown["deliveries"][0]["held"].clone()));
    }
    assert_eq!(held, [(json!("a"), json!(false)), (json!("a"), json!(true)), (json!("b"), json!(false))]);
    let headers = [("content-type", "application/json"), ("trunkline-ordering-key", "b")];
    let reply = house.client.send(Method::POST, "/v1/events", "{}", &headers).await;
    let path = format!("/v1/events/{}", reply.json()["event_id"].as_str().unwrap());
    assert_eq!(house.client.get(&path).await.json()["event"]["deliveries"][0]["held"], true);
    let headers = [("content-type", "application/json"), ("trunkline-ordering-key", "two words")];
    assert_eq!(house.client.send(Method::POST, "/v1/events", "{}", &headers).await.status, 400);
}

#[tokio::test]
async fn an_event_for_later_waits_and_can_be_cancelled() {
    let house = House::new().await;
    let later = "2030-01-01T00:00:00Z";
    let headers = [("content-type", "application/json"), ("trunkline-deliver-at", later)];
    let refused = house.client.send(Method::POST, "/v1/events", "{}", &headers).await;
    assert_eq!(
        (refused.status, &refused.json()["errors"][0]["field"]),
        (400, &json!("Trunkline-Deliver-At"))
    );
    let tomorrow = house
        .database
        .text("SELECT to_char(now() AT TIME ZONE 'UTC' + interval '1 day', 'YYYY-MM-DD\"T\"HH24:MI:SSZ')")
        .await;
    let headers = [("content-type", "application/json"), ("trunkline-deliver-at", tomorrow.as_str())];
    let reply = house.client.send(Method::POST, "/v1/events", "{}", &headers).await;
    assert_eq!(reply.status, 201);
    let id = reply.json()["event_id"].as_str().unwrap().to_owned();
    let shown = house.client.get(&format!("/v1/events/{id}")).await.json()["event"].clone();
    assert_eq!(shown["deliveries"][0]["next_attempt_at"].as_str().unwrap()[..10], tomorrow[..10]);
    let cancelled = house.client.delete(&format!("/v1/events/{id}")).await;
    assert_eq!((cancelled.status, &cancelled.json()["cancelled"]), (200, &json!(1)));
    for bad in ["tomorrow", "2026-13-01T00:00:00Z", "2026-01-01"] {
        let headers = [("content-type", "application/json"), ("trunkline-deliver-at", bad)];
        assert_eq!(house.client.send(Method::POST, "/v1/events", "{}", &headers).await.status, 400, "{bad}");
    }
}

#[tokio::test]
async fn an_ordering_key_in_other_hands_is_told_by_its_own_name() {
    let house = House::new().await;
    let mut holder = house.database.connect().await;
    let publish = "BEGIN; SELECT trunkline.publish('acme', 't', '{}'::text, ordering_key => 'held')";
    trunkline_testkit::run(&mut holder, publish).await;
    let headers = [("content-type", "application/json"), ("trunkline-ordering-key", "held")];
    let held = house.client.send(Method::POST, "/v1/events", "{}", &headers).await;
    problem(&held, 409, "ordering_key_in_use");
    assert_eq!(held.header("retry-after"), "1");
    trunkline_testkit::run(&mut holder, "COMMIT").await;
    assert_eq!(house.client.send(Method::POST, "/v1/events", "{}", &headers).await.status, 201);
}

/// Three waits that each end in time, and together do not.
#[tokio::test]
async fn no_batch_is_waited_for_much_longer_than_a_second() {
    let house = House::new().await;
    let mut holders = Vec::new();
    for table in ["ordering_keys", "idempotency_keys", "payloads"] {
        let mut holder = house.database.connect().await;
        trunkline_testkit::run(&mut holder, &format!("BEGIN; LOCK TABLE trunkline.{table}")).await;
        holders.push(holder);
    }
    let began = Instant::now();
    let released = tokio::spawn(async move {
        for mut holder in holders {
            tokio::time::sleep(Duration::from_millis(700)).await;
            trunkline_testkit::run(&mut holder, "ROLLBACK").await;
        }
    });
    let reply = post(&house, r#"{"events":[{"payload":{},"ordering_key":"a","idempotency_key":"a"}]}"#).await;
    problem(&reply, 503, "database_unavailable");
    assert!(began.elapsed() < Duration::from_millis(1_700), "{:?}", began.elapsed());
    released.await.unwrap();
}
