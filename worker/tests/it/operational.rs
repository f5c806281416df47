//! What the tenant's operational endpoint is told.

use serde_json::{Value, json};
use trunkline_domain::EndpointId;
use trunkline_testkit::{Answer, Arrival, Sink, eventually, seed_endpoint};

use crate::house::{House, millis};

/// A house whose tenant has an operational endpoint, with its sink.
async fn house() -> (House, Sink, EndpointId) {
    let house = House::with(|settings| settings.delivery.retry_schedule = vec![millis(10)]).await;
    let news = Sink::start().await;
    let id =
        seed_endpoint(&house.database, &house.settings, &house.acme, "operations", &news.url("/news")).await;
    let operational = format!(
        "UPDATE trunkline.endpoints SET operational = true, event_types = '{{}}' WHERE endpoint_id = '{}'",
        id.as_uuid()
    );
    house.database.execute(&operational).await;
    (house, news, id)
}

/// What arrived of a type.
fn of_type(arrivals: &[Arrival], event_type: &str) -> Vec<Value> {
    let meant = arrivals.iter().filter(|one| one.header("trunkline-event-type") == event_type);
    meant.map(|one| serde_json::from_slice(&one.body).unwrap()).collect()
}

async fn told(news: &Sink, event_type: &str) -> Value {
    eventually(&format!("{event_type} is told"), async || of_type(&news.arrivals(), event_type).pop()).await
}

#[tokio::test]
async fn an_endpoint_that_is_gone_is_told_of_once() {
    let (house, news, _) = house().await;
    house.sink.answer(Answer::Status(410));
    let worker = house.worker().await;
    house.publish("{\"canary\":\"payload\"}").await;
    let told = told(&news, "endpoint.disabled").await;
    worker.stop().await;
    assert_eq!((&told["reason"], &told["endpoint_id"]), (&json!("gone"), &json!(house.acme.endpoint_id)));
    assert_eq!(told["type"], "endpoint.disabled");
    assert_eq!(of_type(&news.arrivals(), "endpoint.disabled").len(), 1);
    let stored = "SELECT count(*) || ' ' || bool_and(e.routed) || ' ' || bool_and(e.payload_sha256 = sha256(p.payload))
                  FROM trunkline.events AS e JOIN trunkline.payloads AS p USING (event_id) WHERE e.type LIKE 'endpoint.%'";
    assert_eq!(house.database.text(stored).await, "1 true true");
    let all = news.arrivals();
    assert!(!all.iter().any(|one| String::from_utf8_lossy(&one.body).contains("canary")));
}

#[tokio::test]
async fn dead_letters_are_gathered_and_told_of_with_their_count() {
    let (house, news, _) = house().await;
    house.sink.answer(Answer::Status(500));
    let worker = house.worker().await;
    let event_id = house.publish("{}").await;
    let told = told(&news, "delivery.exhausted").await;
    assert_eq!((&told["count"], &told["event_ids"]), (&json!(1), &json!([event_id])));
    for _ in 0..3 {
        let event_id = house.publish("{}").await;
        eventually("it is a dead letter", async || (!house.row(event_id).await.is_due).then_some(())).await;
    }
    assert_eq!(of_type(&news.arrivals(), "delivery.exhausted").len(), 1, "once a minute");
    // A stop tells what is gathered; it is delivered by whoever comes next.
    worker.stop().await;
    let counts = "SELECT string_agg(convert_from(p.payload, 'UTF8')::json ->> 'count', ' ' ORDER BY e.event_id)
                  FROM trunkline.events AS e JOIN trunkline.payloads AS p USING (event_id) WHERE e.type = 'delivery.exhausted'";
    assert_eq!(house.database.text(counts).await, "1 3");
}

#[tokio::test]
async fn a_breaker_that_opens_and_closes_is_told_of_once_each() {
    let (house, news, _) = house().await;
    house.sink.answer(Answer::Status(500));
    let worker = house.worker().await;
    for _ in 0..6 {
        house.publish("{}").await;
    }
    let failing = told(&news, "endpoint.failing").await;
    assert_eq!(failing["endpoint_id"], json!(house.acme.endpoint_id));
    assert!(failing["breaker_open_until"].is_string() && failing["failing_since"].is_string(), "{failing}");
    house.sink.answer(Answer::Status(200));
    // A retry by hand passes an open breaker.
    let event_id = house.publish("{}").await;
    house
        .database
        .execute(&format!(
            "UPDATE trunkline.deliveries SET expedited = true WHERE event_id = '{}'",
            event_id.as_uuid()
        ))
        .await;
    let recovered = told(&news, "endpoint.recovered").await;
    assert_eq!(recovered["failing_since"], failing["failing_since"]);
    worker.stop().await;
    for event_type in ["endpoint.failing", "endpoint.recovered"] {
        assert_eq!(of_type(&news.arrivals(), event_type).len(), 1, "{event_type}");
    }
}

#[tokio::test]
async fn of_the_operational_endpoint_itself_nothing_is_told_and_without_one_nothing_is_written() {
    let (house, news, id) = house().await;
    house.sink.answer(Answer::Status(410));
    news.answer(Answer::Status(410));
    let worker = house.worker().await;
    house.publish("{}").await;
    news.wait_for(1).await;
    let disabled = "SELECT count(*) FROM trunkline.endpoints WHERE disabled_reason = 'gone'";
    eventually("both are disabled", async || (house.database.text(disabled).await == "2").then_some(()))
        .await;
    worker.stop().await;
    let types = "SELECT string_agg(type, ' ' ORDER BY event_id) FROM trunkline.events";
    assert_eq!(house.database.text(types).await, "test.happened endpoint.disabled", "about {id}");

    // Disabled, it is as good as none.
    house
        .database
        .execute(
            "UPDATE trunkline.endpoints SET enabled = true, disabled_reason = NULL WHERE NOT operational",
        )
        .await;
    let worker = house.worker().await;
    house.publish("{}").await;
    house.sink.wait_for(2).await;
    eventually("it is disabled", async || (house.database.text(disabled).await == "2").then_some(())).await;
    worker.stop().await;
    assert_eq!(
        house.database.text("SELECT count(*) FROM trunkline.events WHERE type LIKE 'endpoint.%'").await,
        "1"
    );
}
