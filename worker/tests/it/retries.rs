//! Failures are retried by schedule, and end.

use crate::house::{House, Row, millis};
use trunkline_testkit::Answer;

#[tokio::test]
async fn a_failed_delivery_is_retried_by_schedule_until_it_succeeds() {
    let house = House::new().await;
    house.sink.script([Answer::Status(500), Answer::Status(404)]);
    let worker = house.worker().await;
    let event_id = house.publish("{}").await;
    let row = house.until(event_id, "DELIVERED").await;
    assert_eq!(row, Row { status: "DELIVERED".to_owned(), attempts: 3, is_due: false });
    assert_eq!(house.outcomes(event_id).await, "rejected rejected succeeded");
    let numbers: Vec<_> =
        house.sink.arrivals().iter().map(|one| one.header("trunkline-attempt").to_owned()).collect();
    assert_eq!(numbers, ["1", "2", "3"]);
    worker.stop().await;
}

#[tokio::test]
async fn a_delivery_that_used_up_its_budget_is_a_dead_letter() {
    let house = House::new().await;
    house.sink.answer(Answer::Status(500));
    let worker = house.worker().await;
    let event_id = house.publish("{}").await;
    trunkline_testkit::eventually("the budget is used up", async || {
        let row = house.row(event_id).await;
        (row == Row { status: "FAILED".to_owned(), attempts: 3, is_due: false }).then_some(())
    })
    .await;
    assert_eq!(house.sink.arrivals().len(), 3, "a budget of three is three calls");
    worker.stop().await;
}

#[tokio::test]
async fn the_wait_between_attempts_is_the_schedules() {
    let house = House::with(|settings| settings.delivery.retry_schedule = vec![millis(300)]).await;
    house.sink.script([Answer::Status(500)]);
    let worker = house.worker().await;
    let event_id = house.publish("{}").await;
    house.until(event_id, "DELIVERED").await;
    let sql = "SELECT (extract(epoch FROM max(started_at) - min(started_at)) * 1000)::integer FROM trunkline.attempts";
    let waited: u64 = house.database.text(sql).await.parse().unwrap();
    assert!(waited >= 300, "attempted again after {waited} ms");
    worker.stop().await;
}

#[tokio::test]
async fn a_retry_by_hand_starts_a_fresh_budget_and_counts_on() {
    let house = House::with(|settings| settings.delivery.retry_schedule = vec![millis(20)]).await;
    house.sink.script([Answer::Status(500), Answer::Status(500), Answer::Status(500)]);
    let worker = house.worker().await;
    let event_id = house.publish("{}").await;
    trunkline_testkit::eventually("a dead letter", async || {
        (house.row(event_id).await == Row { status: "FAILED".to_owned(), attempts: 2, is_due: false })
            .then_some(())
    })
    .await;
    let mut connection = house.database.connect().await;
    let now = trunkline_store::time::now(&mut connection).await.unwrap();
    let (lane, tenant) = (house.acme.lane, &house.acme.tenant_id);
    trunkline_store::deliveries::reopen(&mut connection, lane, tenant, event_id, None, now).await.unwrap();
    let row = house.until(event_id, "DELIVERED").await;
    assert_eq!(row.attempts, 4, "attempts count over all cycles");
    worker.stop().await;
}
