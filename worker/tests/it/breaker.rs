//! A breaker that opened stays open over a restart, and is shown.

use trunkline_testkit::{Answer, eventually, publish, seed_tenant};

use crate::house::House;

const OPEN_UNTIL: &str =
    "SELECT coalesce((breaker_open_until > now())::text, 'closed') FROM trunkline.endpoints";

#[tokio::test]
async fn an_open_breaker_is_written_down_and_outlives_its_worker() {
    let house = House::new().await;
    house.sink.answer(Answer::Status(500));
    let worker = house.worker().await;
    for _ in 0..5 {
        house.publish("{}").await;
    }
    eventually("the breaker is open", async || {
        (house.database.text(OPEN_UNTIL).await == "true").then_some(())
    })
    .await;
    worker.stop().await;
    let before = house.sink.arrivals().len();

    house.sink.answer(Answer::Status(200));
    let worker = house.worker().await;
    let waiting = house.publish("{}").await;
    // Events of another tenant go through meanwhile, one after another: the worker is at work.
    let (database, settings) = (&house.database, &house.settings);
    let other = seed_tenant(database, settings, "globex", &house.sink.url("/other")).await;
    let arrived = |path: &str| house.sink.arrivals().iter().filter(|one| one.path == path).count();
    for count in 1..=5 {
        publish(database, &other, "{}").await;
        eventually("the other is delivered", async || (arrived("/other") == count).then_some(())).await;
    }
    assert_eq!(arrived("/hook"), before, "it is left alone");
    assert_eq!(house.row(waiting).await.status, "PENDING");
    worker.stop().await;
}

#[tokio::test]
async fn a_breaker_whose_time_is_over_is_probed_and_closes() {
    let house = House::new().await;
    house
        .database
        .execute(
            "UPDATE trunkline.endpoints SET failing_since = now() - interval '1 hour', failures = 12,
             breaker_open_until = now() + interval '1 second'",
        )
        .await;
    let open_until = house.database.text("SELECT breaker_open_until FROM trunkline.endpoints").await;
    let worker = house.worker().await;
    let event_id = house.publish("{}").await;
    let attempted_later = format!(
        "SELECT (last_attempt_at > '{open_until}'::timestamptz - interval '50 ms')::text FROM trunkline.deliveries
         WHERE event_id = '{}'",
        event_id.as_uuid()
    );
    house.until(event_id, "DELIVERED").await;
    assert_eq!(house.database.text(&attempted_later).await, "true", "it waited for the breaker");
    let state = "SELECT concat_ws(' ', coalesce(breaker_open_until::text, 'closed'), coalesce(failing_since::text, 'well'), failures)
                 FROM trunkline.endpoints";
    eventually("it is closed", async || (house.database.text(state).await == "closed well 0").then_some(()))
        .await;
    worker.stop().await;
}

#[tokio::test]
async fn what_we_refuse_to_call_says_nothing_of_its_endpoint() {
    let house = House::new().await;
    let refused = "http://10.255.255.1:9999/";
    house.database.execute(&format!("UPDATE trunkline.endpoints SET url = '{refused}'")).await;
    let worker = house.worker().await;
    for _ in 0..12 {
        house.publish("{}").await;
    }
    let blocked = "SELECT count(DISTINCT event_id) FROM trunkline.attempts WHERE outcome = 'blocked'";
    eventually("every delivery was attempted", async || {
        (house.database.text(blocked).await == "12").then_some(())
    })
    .await;
    worker.stop().await;
    let state = "SELECT concat_ws(' ', failures, failing_since, breaker_open_until) FROM trunkline.endpoints";
    assert_eq!(house.database.text(state).await, "0");
}
