//! Figures over time.

use serde_json::json;

use crate::house::{House, problem, uuid};

/// Attempts of an event: outcome and duration of each.
async fn attempts(house: &House, event_id: &str, attempts: &[(&str, u32)]) {
    for (number, (outcome, duration_ms)) in attempts.iter().enumerate() {
        let sql = format!(
            "INSERT INTO trunkline.attempts (lane, tenant_id, event_id, endpoint_id, attempt, started_at, duration_ms, outcome)
             SELECT lane, tenant_id, event_id, endpoint_id, {}, now(), {duration_ms}, '{outcome}'
             FROM trunkline.deliveries WHERE event_id = '{}'",
            number + 1,
            uuid(event_id)
        );
        house.database.execute(&sql).await;
    }
}

#[tokio::test]
async fn events_deliveries_and_attempts_are_counted_in_buckets() {
    let house = House::new().await;
    let delivered = house.publish(r#"{"type":"a"}"#).await;
    house.set(&delivered, "DELIVERED").await;
    attempts(&house, &delivered, &[("rejected", 10), ("succeeded", 30)]).await;
    let dead = house.publish(r#"{"type":"b"}"#).await;
    house.set(&dead, "DEAD").await;
    attempts(&house, &dead, &[("timeout", 100), ("abandoned", 20)]).await;
    house.publish(r#"{"type":"a"}"#).await;
    let (_, globex) = house.tenant("globex").await;

    let until = "before=2099-01-01T00:00:00Z&after=2098-12-31T00:00:00Z";
    assert_eq!(house.client.get(&format!("/v1/stats?{until}")).await.json()["total"]["events"], 0);
    // An event of this very millisecond is not yet in: the range ends before it.
    let stats = trunkline_testkit::eventually("the last event is counted", async || {
        let stats = house.client.get("/v1/stats").await.json();
        (stats["total"]["events"] == 3).then_some(stats)
    })
    .await;
    let total = &stats["total"];
    assert_eq!(stats["bucket"], "1h");
    assert_eq!(
        total["deliveries"],
        json!({"pending": 1, "delivered": 1, "failed": 1, "dead_letters": 1, "cancelled": 0})
    );
    assert_eq!(
        (&total["attempts"]["total"], &total["attempts"]["rejected"], &total["attempts"]["abandoned"]),
        (&json!(4), &json!(1), &json!(1))
    );
    assert_eq!((&total["success_rate"], &total["latency_ms"]["p50"]), (&json!(0.25), &json!(25.0)));
    let buckets = stats["buckets"].as_array().unwrap();
    assert!((24..=25).contains(&buckets.len()), "a day of hours, without gaps: {}", buckets.len());
    let events: i64 = buckets.iter().map(|bucket| bucket["events"].as_i64().unwrap()).sum();
    assert_eq!(events, 3);
    let empty = &buckets[0];
    assert_eq!(
        (&empty["events"], &empty["success_rate"], &empty["latency_ms"]),
        (&json!(0), &json!(null), &json!(null))
    );

    let typed = house.client.get("/v1/stats?type=b").await.json()["total"].clone();
    assert_eq!((&typed["events"], &typed["attempts"]["total"]), (&json!(1), &json!(2)));
    let endpoint = house.acme.endpoint_id;
    assert_eq!(house.client.get(&format!("/v1/stats?endpoint_id={endpoint}")).await.json()["total"], *total);
    let other = "endpoint_id=ep_01a20ada2c007abc8123456789abcdef";
    assert_eq!(house.client.get(&format!("/v1/stats?{other}")).await.json()["total"]["events"], 0);
    assert_eq!(globex.get("/v1/stats").await.json()["total"]["events"], 0, "nobody else's");
}

#[tokio::test]
async fn what_cannot_be_counted_is_refused() {
    let house = House::new().await;
    for query in [
        "bucket=2h",
        "bucket=1m",
        "after=2026-01-02T00:00:00Z&before=2026-01-01T00:00:00Z",
        "after=2026-01-01T00:00:00Z&before=2026-02-02T00:00:00Z&bucket=1d",
        "endpoint_id=x",
        "limit=1",
    ] {
        problem(&house.client.get(&format!("/v1/stats?{query}")).await, 400, "invalid_query");
    }
}
