//! Why an event goes where it goes.

use serde_json::{Value, json};
use trunkline_domain::EndpointId;
use trunkline_testkit::seed_endpoint;

use crate::house::{House, problem};

/// Adds an endpoint that is set as told.
async fn endpoint(house: &House, name: &str, set: &str) -> EndpointId {
    let url = format!("http://127.0.0.1:9999/{name}");
    let id = seed_endpoint(&house.database, &house.settings, &house.acme, name, &url).await;
    if !set.is_empty() {
        let sql = format!("UPDATE trunkline.endpoints SET {set} WHERE endpoint_id = '{}'", id.as_uuid());
        house.database.execute(&sql).await;
    }
    id
}

/// What is said of the endpoint with that name.
fn of<'a>(answer: &'a Value, name: &str) -> &'a Value {
    let endpoints = answer["endpoints"].as_array().unwrap();
    endpoints
        .iter()
        .find(|one| one["name"] == name)
        .unwrap_or_else(|| panic!("{name} is missing in {answer}"))
}

async fn explain(house: &House, id: &str) -> Value {
    let reply = house.client.get(&format!("/v1/events/{id}/explain")).await;
    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    reply.json()
}

async fn try_out(house: &House, body: &str) -> Value {
    let reply = house.client.post("/v1/match", body.to_owned()).await;
    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    reply.json()
}

#[tokio::test]
async fn each_endpoint_says_why_it_matches_or_not() {
    let house = House::new().await;
    endpoint(&house, "typed", "event_types = '{order.*}'").await;
    endpoint(&house, "other-type", "event_types = '{invoice.paid}'").await;
    endpoint(&house, "large", "payload_filter = '$.total > 100'").await;
    endpoint(&house, "small", "payload_filter = '$.total < 100'").await;
    endpoint(&house, "no-boolean", "payload_filter = '$.total'").await;
    endpoint(&house, "disabled", "enabled = false, disabled_reason = 'failing'").await;
    endpoint(&house, "paused", "paused = true").await;
    endpoint(&house, "quiet", "paused_until = now() + interval '1 hour'").await;
    endpoint(&house, "broken", "breaker_open_until = now() + interval '1 minute'").await;
    endpoint(&house, "operations", "operational = true").await;
    endpoint(&house, "deleted", "enabled = false, disabled_reason = 'manual', deleted_at = now()").await;
    let id = house.publish(r#"{"type":"order.created","total":500}"#).await;
    endpoint(&house, "later", "").await;
    let explained = explain(&house, &id).await;
    assert_eq!((&explained["event_id"], &explained["type"]), (&json!(id), &json!("order.created")));
    for (name, reason, waits) in [
        ("default", "matches", Value::Null),
        ("typed", "matches", Value::Null),
        ("other-type", "event_type", Value::Null),
        ("large", "matches", Value::Null),
        ("small", "payload_filter", Value::Null),
        ("no-boolean", "payload_filter_no_boolean", Value::Null),
        ("disabled", "endpoint_disabled", json!("disabled")),
        ("paused", "matches", json!("paused")),
        ("quiet", "matches", json!("retry_after")),
        ("broken", "matches", json!("breaker_open")),
        ("operations", "operational_endpoint", Value::Null),
        ("later", "created_later", Value::Null),
    ] {
        let verdict = of(&explained, name);
        assert_eq!((&verdict["reason"], &verdict["waits"]), (&json!(reason), &waits), "{name}");
        assert_eq!(verdict["matches"], json!(reason == "matches"), "{name}");
        assert!(verdict["detail"].as_str().unwrap().ends_with('.'), "{name}");
    }
    assert!(explained["endpoints"].as_array().unwrap().iter().all(|one| one["name"] != "deleted"));
    assert_eq!(of(&explained, "default")["delivery"]["status"], "PENDING");
    assert_eq!(of(&explained, "later")["delivery"], Value::Null);
}

#[tokio::test]
async fn what_has_a_delivery_is_shown_though_it_was_deleted_or_set_otherwise_since() {
    let house = House::new().await;
    let gone = endpoint(&house, "gone", "").await;
    endpoint(&house, "opened", "event_types = '{other}'").await;
    let id = house.publish(r#"{"type":"order.created"}"#).await;
    house.set(&id, "DELIVERED").await;
    let delete = format!(
        "UPDATE trunkline.endpoints SET enabled = false, disabled_reason = 'manual', deleted_at = now() WHERE endpoint_id = '{}'",
        gone.as_uuid()
    );
    house.database.execute(&delete).await;
    house.database.execute("UPDATE trunkline.endpoints SET event_types = NULL").await;
    let explained = explain(&house, &id).await;
    assert_eq!(of(&explained, "gone")["reason"], "endpoint_deleted");
    assert_eq!(of(&explained, "gone")["delivery"]["status"], "DELIVERED");
    let opened = of(&explained, "opened");
    assert_eq!((&opened["matches"], &opened["delivery"]), (&json!(true), &Value::Null));
    assert!(opened["detail"].as_str().unwrap().contains("no delivery"));
}

#[tokio::test]
async fn a_payload_that_filters_cannot_judge_does_not_match_and_says_why() {
    let house = House::new().await;
    endpoint(&house, "filtered", "payload_filter = '$.total > 100'").await;
    let large = format!(r#"{{"total":500,"text":"{}"}}"#, "x".repeat(64 * 1024));
    for (payload, reason) in [
        (large.as_str(), "payload_too_large"),
        (r#"{"total":500,"text":"\u0000"}"#, "payload_holds_nul"),
        (r#"{"total":1e1001}"#, "payload_exponent_too_large"),
        (r#"{"total":1e1000}"#, "matches"),
        (r#"{"total":"many"}"#, "payload_filter_no_boolean"),
    ] {
        let tried = try_out(&house, &format!(r#"{{"payload":{payload}}}"#)).await;
        assert_eq!(of(&tried, "filtered")["reason"], reason, "{}", &payload[..payload.len().min(60)]);
        assert_eq!(of(&tried, "default")["matches"], true, "without a filter it takes everything");
        let id = house.publish(payload).await;
        assert_eq!(of(&explain(&house, &id).await, "filtered")["reason"], reason);
    }
    let id = house.publish("{}").await;
    house.database.execute("UPDATE trunkline.payloads SET payload = NULL").await;
    assert_eq!(of(&explain(&house, &id).await, "filtered")["reason"], "payload_erased");
}

#[tokio::test]
async fn news_of_expired_deliveries_is_explained_as_news() {
    let house = House::new().await;
    endpoint(&house, "operations", "operational = true").await;
    let id = house.publish(r#"{"type":"delivery.expired"}"#).await;
    // As the worker writes news: one delivery, to the operational endpoint.
    house
        .database
        .execute("UPDATE trunkline.deliveries SET endpoint_id = (SELECT endpoint_id FROM trunkline.endpoints WHERE operational)")
        .await;
    let explained = explain(&house, &id).await;
    assert_eq!(of(&explained, "operations")["reason"], "matches");
    assert_eq!(of(&explained, "default")["reason"], "operational_event");
}

#[tokio::test]
async fn trying_out_takes_what_publishing_takes_and_stores_nothing() {
    let house = House::new().await;
    endpoint(&house, "typed", "event_types = '{order.*}'").await;
    let before = house.stored().await;
    let tried = try_out(&house, r#"{"type":"order.created","payload":{"type":"ignored"}}"#).await;
    assert_eq!((&tried["type"], &tried["matching"]), (&json!("order.created"), &json!(2)));
    let named = try_out(&house, r#"{"payload":{"event":"order.paid"}}"#).await;
    assert_eq!((&named["type"], &named["matching"]), (&json!("order.paid"), &json!(2)));
    let untyped = try_out(&house, r#"{"payload":{}}"#).await;
    assert_eq!((&untyped["type"], &untyped["matching"]), (&Value::Null, &json!(1)));
    assert_eq!(of(&untyped, "typed")["reason"], "event_type");
    for (body, code) in [
        (r#"{"payload":[]}"#, "invalid_payload"),
        (r#"{"payload":{"a":1,"a":2}}"#, "invalid_payload"),
        (r#"{"payload":{"type":"two words"}}"#, "invalid_field"),
        (r#"{"type":"two words","payload":{}}"#, "invalid_body"),
        (r#"{"type":"order.paid"}"#, "invalid_body"),
        (r#"{"payload":{},"more":1}"#, "invalid_body"),
    ] {
        problem(&house.client.post("/v1/match", body.to_owned()).await, 422, code);
    }
    let fits = format!(r#"{{"payload":{{"text":"{}"}}}}"#, "x".repeat(262_144 - 11));
    assert_eq!(house.client.post("/v1/match", fits).await.status, 200);
    let too_large = format!(r#"{{"payload":{{"text":"{}"}}}}"#, "x".repeat(262_144));
    problem(&house.client.post("/v1/match", too_large).await, 413, "body_too_large");
    assert_eq!(house.stored().await, before);
}

#[tokio::test]
async fn a_foreign_event_is_not_explained_and_foreign_endpoints_are_not_shown() {
    let house = House::new().await;
    let id = house.publish("{}").await;
    let (_, globex) = house.tenant("globex").await;
    problem(&globex.get(&format!("/v1/events/{id}/explain")).await, 404, "event_not_found");
    problem(&house.client.get("/v1/events/nothing/explain").await, 404, "event_not_found");
    let tried = globex.post("/v1/match", r#"{"payload":{}}"#).await.json();
    let urls: Vec<_> = tried["endpoints"].as_array().unwrap().iter().map(|one| &one["target_url"]).collect();
    assert_eq!(urls, [&json!("http://127.0.0.1:9999/other")]);
}
