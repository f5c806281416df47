//! A stop finishes what was sent and gives back what was not.

use std::time::{Duration, Instant};

use crate::house::{House, Row, millis};
use trunkline_testkit::{Answer, Way};

#[tokio::test]
async fn a_stop_waits_for_what_was_sent() {
    let house = House::new().await;
    house.sink.answer(Answer::Hold);
    let worker = house.worker().await;
    let event_id = house.publish("{}").await;
    house.sink.wait_for(1).await;
    let stopping = tokio::spawn(worker.stop());
    house.sink.release(1);
    stopping.await.unwrap();
    let row = house.row(event_id).await;
    assert_eq!(row, Row { status: "DELIVERED".to_owned(), attempts: 1, is_due: false });
}

#[tokio::test]
async fn what_a_stop_cuts_short_is_given_back_and_does_not_count() {
    let house = House::with(|settings| {
        settings.delivery.timeout = millis(20_000);
        settings.worker.drain = millis(100);
    })
    .await;
    house.sink.answer(Answer::Hold);
    let worker = house.worker().await;
    let event_id = house.publish("{}").await;
    house.sink.wait_for(1).await;
    worker.stop().await;
    assert_eq!(house.row(event_id).await, Row { status: "PENDING".to_owned(), attempts: 0, is_due: true });

    house.sink.answer(Answer::Status(200));
    let next = house.worker().await;
    assert_eq!(house.until(event_id, "DELIVERED").await.attempts, 1, "at once, without waiting for a lease");
    next.stop().await;
}

/// Its outcome cannot be written, its lanes not be given up: all of that has one end.
#[tokio::test]
async fn a_stop_ends_in_time_though_the_database_is_silent() {
    let mut house = House::with(|settings| settings.worker.drain = millis(500)).await;
    let way = Way::to(house.database.url()).await;
    house.settings.database.url = Some(way.url().to_owned().into());
    house.sink.answer(Answer::Hold);
    let worker = house.worker().await;
    house.publish("{}").await;
    house.sink.wait_for(1).await;
    way.fall_silent();
    house.sink.release(1);
    let began = Instant::now();
    worker.stop().await;
    assert!(began.elapsed() < Duration::from_millis(3_500), "{:?}", began.elapsed());
}
