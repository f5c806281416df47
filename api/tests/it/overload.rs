//! Too much, or no database: told at once, with Retry-After.

use std::time::{Duration, Instant};

use crate::house::{House, problem};

#[tokio::test]
async fn above_its_rate_a_tenant_is_told_when_to_come_back() {
    let house = House::with(|settings| {
        settings.ingest.rate_per_tenant = 1;
        settings.ingest.burst_per_tenant = 3;
    })
    .await;
    for _ in 0..3 {
        house.publish("{}").await;
    }
    let refused = house.client.post("/v1/events", "{}").await;
    problem(&refused, 429, "rate_limited");
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(refused.header("ratelimit-policy"), "\"tenant\";q=3;w=3");
    let (_, other) = house.tenant("globex").await;
    assert_eq!(other.post("/v1/events", "{}").await.status, 201, "others are not held to it");
    assert_eq!(house.client.get("/v1/events").await.status, 200, "reading is not counted");
}

#[tokio::test]
async fn a_database_that_does_not_answer_is_503_within_about_a_second() {
    let house = House::new().await;
    let id = house.publish("{}").await;
    let mut holder = house.database.connect().await;
    trunkline_testkit::run(&mut holder, "BEGIN; LOCK TABLE trunkline.events, trunkline.payloads, trunkline.deliveries IN ACCESS EXCLUSIVE MODE").await;
    let path = format!("/v1/events/{id}");
    let asked = Instant::now();
    let (published, shown) = tokio::join!(house.client.post("/v1/events", "{}"), house.client.get(&path));
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    for reply in [published, shown] {
        problem(&reply, 503, "database_unavailable");
        assert_eq!(reply.header("retry-after"), "1");
    }
    trunkline_testkit::run(&mut holder, "ROLLBACK").await;
    trunkline_testkit::eventually("it serves again", async || {
        (house.client.post("/v1/events", "{}").await.status == 201).then_some(())
    })
    .await;
}
