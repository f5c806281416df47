//! Payloads erased by request.

use serde_json::{Value, json};

use crate::house::{House, problem, uuid};

async fn erase(house: &House, body: Value) -> Value {
    let reply = house.client.post("/v1/erasures", body.to_string()).await;
    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    reply.json()
}

async fn contents(house: &House) -> String {
    house.database.text("SELECT count(*) FROM trunkline.payloads WHERE payload IS NOT NULL").await
}

#[tokio::test]
async fn a_payload_is_erased_with_a_receipt_after_its_open_deliveries_were_cancelled() {
    let house = House::new().await;
    let payload = r#"{"email":"jo@example.com"}"#;
    let id = house.publish(payload).await;
    let path = format!("/v1/events/{id}/content");
    let erased = house.client.delete(&path).await;
    assert_eq!(erased.status, 200);
    let receipt = erased.json();
    assert!(receipt["erasure_id"].as_str().unwrap().starts_with("ers_"));
    let hash = format!("SELECT encode(sha256('{payload}'), 'hex')");
    assert_eq!(receipt["payload_sha256"], house.database.text(&hash).await);
    assert_eq!(house.client.delete(&path).await.json(), receipt, "asked again, the same");

    let event = house.client.get(&format!("/v1/events/{id}")).await.json()["event"].clone();
    assert_eq!((&event["payload"], &event["payload_erased_at"]), (&Value::Null, &receipt["erased_at"]));
    assert_eq!(event["status"], "CANCELLED", "nothing is left to be sent");
    assert_eq!(contents(&house).await, "0");
    let shown = format!("/v1/erasures/{}", receipt["erasure_id"].as_str().unwrap());
    assert_eq!(house.client.get(&shown).await.json()["receipts"], json!([receipt]));
}

#[tokio::test]
async fn an_attempt_under_way_ends_as_superseded_and_what_was_delivered_stays_so() {
    let house = House::new().await;
    let (leased, delivered) = (house.publish("{}").await, house.publish("{}").await);
    house.set(&delivered, "DELIVERED").await;
    let lease = "UPDATE trunkline.deliveries SET lease = 7, leased_until = now() + interval '30 seconds', attempts = 1, cycle_attempts = 1 WHERE event_id =";
    house.database.execute(&format!("{lease} '{}'", uuid(&leased))).await;
    let shown = async || house.client.get(&format!("/v1/events/{leased}")).await.json()["event"].clone();
    let attempts =
        |event: &serde_json::Value| (event["attempts"].clone(), event["deliveries"][0]["attempts"].clone());
    let under_way = shown().await;
    assert_eq!(attempts(&under_way), (json!(0), json!(0)), "it counts when it has ended");
    for id in [&leased, &delivered] {
        assert_eq!(house.client.delete(&format!("/v1/events/{id}/content")).await.status, 200);
    }
    let ended = shown().await;
    assert_eq!(attempts(&ended), (json!(1), json!(1)));
    assert!(ended["last_attempt_at"].is_string());
    let status = async |id: &str| {
        house.client.get(&format!("/v1/events/{id}")).await.json()["event"]["status"].clone()
    };
    assert_eq!((status(&leased).await, status(&delivered).await), (json!("CANCELLED"), json!("DELIVERED")));
    assert_eq!(
        house.database.text("SELECT string_agg(outcome::text, ' ') FROM trunkline.attempts").await,
        "superseded"
    );
}

#[tokio::test]
async fn what_an_endpoint_answered_goes_with_the_content() {
    let house = House::new().await;
    let (erased, other) = (house.publish("{}").await, house.publish("{}").await);
    house
        .database
        .execute(
            "INSERT INTO trunkline.attempts (lane, tenant_id, event_id, endpoint_id, attempt, started_at, outcome,
                                             response_excerpt, response_headers)
             SELECT lane, tenant_id, event_id, endpoint_id, 1, now(), 'rejected', 'jo@example.com', 'x-user: jo'
             FROM trunkline.deliveries",
        )
        .await;
    assert_eq!(house.client.delete(&format!("/v1/events/{erased}/content")).await.status, 200);
    let kept = "SELECT string_agg(replace(event_id::text, '-', ''), ' ') FROM trunkline.attempts
                WHERE response_excerpt IS NOT NULL OR response_headers IS NOT NULL";
    assert_eq!(house.database.text(kept).await, uuid(&other));
}

#[tokio::test]
async fn what_waited_behind_an_erased_event_goes_on() {
    let house = House::new().await;
    house.database.execute("UPDATE trunkline.endpoints SET ordered = true").await;
    let headers = [("content-type", "application/json"), ("trunkline-ordering-key", "k")];
    let publish = async || {
        let reply = house.client.send(http::Method::POST, "/v1/events", "{}", &headers).await;
        reply.json()["event_id"].as_str().unwrap().to_owned()
    };
    let (first, second) = (publish().await, publish().await);
    let held = format!("SELECT held FROM trunkline.deliveries WHERE event_id = '{}'", uuid(&second));
    assert_eq!(house.database.text(&held).await, "t");
    assert_eq!(erase(&house, json!({"event_ids": [first]})).await["erased"], 1);
    assert_eq!(house.database.text(&held).await, "f");
}

#[tokio::test]
async fn payloads_are_erased_by_what_they_hold_after_a_dry_run_that_counts_the_same() {
    let house = House::new().await;
    let mut jos = Vec::new();
    for number in 0..30 {
        let who = if number % 3 == 0 { "jo" } else { "al" };
        let id = house
            .publish(&format!("{{\"type\":\"t.{}\",\"customer\":{{\"name\":\"{who}\"}}}}", number % 2))
            .await;
        if who == "jo" {
            jos.push(id);
        }
    }
    let wanted = json!({"payload": "customer.name:jo"});
    let mut dry = wanted.clone();
    dry["dry_run"] = json!(true);
    assert_eq!(erase(&house, dry.clone()).await, json!({"would_erase": 10, "more": false}));
    assert_eq!(contents(&house).await, "30", "a dry run changes nothing");
    let erased = erase(&house, wanted.clone()).await;
    assert_eq!((&erased["erased"], &erased["more"]), (&json!(10), &json!(false)));
    assert_eq!(contents(&house).await, "20");
    assert_eq!(erase(&house, dry).await["would_erase"], 0);
    assert_eq!(erase(&house, wanted).await["erased"], 0);

    let path = format!("/v1/erasures/{}", erased["erasure_id"].as_str().unwrap());
    let first = house.client.get(&format!("{path}?limit=7")).await.json();
    let token = first["next_token"].as_str().unwrap();
    let rest = house.client.get(&format!("{path}?limit=7&next_token={token}")).await.json();
    let ids = [&first, &rest].map(|page| page["receipts"].as_array().unwrap().clone()).concat();
    let ids: Vec<_> = ids.iter().map(|receipt| receipt["event_id"].as_str().unwrap().to_owned()).collect();
    jos.reverse();
    assert_eq!((ids, rest.get("next_token")), (jos, None));

    assert_eq!(erase(&house, json!({"type": "t.1", "before": "2099-01-01T00:00:00Z"})).await["erased"], 10);
    let named = house.publish("{}").await;
    let body = json!({"event_ids": [named, named, "evt_01a20ada2c007abc8123456789abcdef"]});
    assert_eq!(erase(&house, body).await["erased"], 1);
    assert_eq!(erase(&house, json!({"before": "2099-01-01T00:00:00Z"})).await["erased"], 10);
    assert_eq!(contents(&house).await, "0");
}

#[tokio::test]
async fn an_erasure_without_a_condition_or_with_a_wrong_one_is_refused() {
    let house = House::new().await;
    house.publish("{}").await;
    let named: Vec<_> = (0..1_001).map(|_| "evt_01a20ada2c007abc8123456789abcdef").collect();
    for body in [
        json!({}),
        json!({"dry_run": true}),
        json!({"after": "yesterday"}),
        json!({"payload": "x"}),
        json!({"type": "two words"}),
        json!({"event_ids": ["x"]}),
        json!({"event_ids": named}),
        json!({"type": "a", "next_token": "x"}),
    ] {
        problem(&house.client.post("/v1/erasures", body.to_string()).await, 422, "invalid_field");
    }
    problem(&house.client.post("/v1/erasures", r#"{"status":"FAILED"}"#).await, 422, "invalid_body");
    assert_eq!(contents(&house).await, "1");
}

#[tokio::test]
async fn what_is_erased_is_ones_own() {
    let house = House::new().await;
    let id = house.publish(r#"{"type":"t"}"#).await;
    let (_, globex) = house.tenant("globex").await;
    for id in [id.as_str(), "evt_01a20ada2c007abc8123456789abcdef", "x"] {
        problem(&globex.delete(&format!("/v1/events/{id}/content")).await, 404, "event_not_found");
    }
    for body in [json!({"type": "t"}), json!({"event_ids": [id]}), json!({"before": "2099-01-01T00:00:00Z"})]
    {
        assert_eq!(globex.post("/v1/erasures", body.to_string()).await.json()["erased"], 0);
    }
    assert_eq!(contents(&house).await, "1");
    let receipt = house.client.delete(&format!("/v1/events/{id}/content")).await.json();
    let path = format!("/v1/erasures/{}", receipt["erasure_id"].as_str().unwrap());
    problem(&globex.get(&path).await, 404, "erasure_not_found");
    problem(&house.client.get("/v1/erasures/x").await, 404, "erasure_not_found");
}
