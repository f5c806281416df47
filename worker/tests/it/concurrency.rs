//! Many deliveries, several workers: each once, and never more at a time than allowed.

use std::collections::HashSet;

use crate::house::{House, millis};
use trunkline_testkit::{Answer, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_deliver_a_thousand_events_without_a_duplicate() {
    let house = House::new().await;
    let (one, two) = (house.worker().await, house.worker().await);
    let publishers = (0..4).map(|_| async {
        for _ in 0..250 {
            house.publish(r#"{"n":1}"#).await;
        }
    });
    futures_util::future::join_all(publishers).await;
    let arrivals = house.sink.wait_for(1_000).await;
    eventually("every outcome is written", async || {
        let open = "SELECT count(*) FROM trunkline.deliveries WHERE status <> 'DELIVERED'";
        (house.database.text(open).await == "0").then_some(())
    })
    .await;
    one.stop().await;
    two.stop().await;
    let ids: HashSet<_> = arrivals.iter().map(|one| one.header("webhook-id").to_owned()).collect();
    assert_eq!((ids.len(), house.sink.arrivals().len()), (1_000, 1_000));
    assert_eq!(house.database.text("SELECT count(*) FROM trunkline.attempts").await, "1000");
}

#[tokio::test]
async fn an_endpoint_never_has_more_attempts_under_way_than_allowed() {
    let house = House::with(|settings| settings.worker.endpoint_concurrency = 3).await;
    house.sink.answer(Answer::Hold);
    for _ in 0..10 {
        house.publish("{}").await;
    }
    let worker = house.worker().await;
    house.sink.wait_for(3).await;
    // A second tenant is served meanwhile, and shows that the worker had every chance to exceed the cap.
    let other = trunkline_testkit::Sink::start().await;
    let globex =
        trunkline_testkit::seed_tenant(&house.database, &house.settings, "globex", &other.url("/")).await;
    for _ in 0..20 {
        trunkline_testkit::publish(&house.database, &globex, "{}").await;
    }
    other.wait_for(20).await;
    assert_eq!(house.sink.arrivals().len(), 3);
    house.sink.answer(Answer::Status(200));
    house.sink.release(3);
    house.sink.wait_for(10).await;
    worker.stop().await;
}

#[tokio::test]
async fn a_hanging_endpoint_does_not_delay_other_tenants() {
    let house = House::with(|settings| settings.delivery.timeout = millis(20_000)).await;
    house.sink.answer(Answer::Hold);
    for _ in 0..100 {
        house.publish("{}").await;
    }
    let worker = house.worker().await;
    house.sink.wait_for(32).await;
    let other = trunkline_testkit::Sink::start().await;
    let globex =
        trunkline_testkit::seed_tenant(&house.database, &house.settings, "globex", &other.url("/")).await;
    for _ in 0..50 {
        trunkline_testkit::publish(&house.database, &globex, "{}").await;
    }
    other.wait_for(50).await;
    assert_eq!(house.sink.arrivals().len(), 32, "none of the hanging calls has come back yet");
    house.sink.answer(Answer::Status(200));
    house.sink.release(100);
    house.sink.wait_for(100).await;
    worker.stop().await;
}
