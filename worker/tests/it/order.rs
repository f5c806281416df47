//! Events with an ordering key arrive in the order in which they were committed, each after the end of the one before.

use trunkline_domain::EventId;
use trunkline_testkit::{Answer, eventually};

use crate::crash::Process;
use crate::house::House;

/// A house whose endpoint delivers in order.
async fn in_order() -> House {
    let house = House::new().await;
    house.database.execute("UPDATE trunkline.endpoints SET ordered = true").await;
    house
}

async fn publish(house: &House, key: &str, n: usize) -> EventId {
    let sql = format!("SELECT trunkline.publish('acme', 'step', '{{\"n\":{n}}}', ordering_key => '{key}')");
    house.database.text(&sql).await.parse().unwrap()
}

async fn all_finished(house: &House) {
    eventually("everything has come to its end", async || {
        let open = "SELECT count(*) FROM trunkline.deliveries WHERE finished_at IS NULL";
        (house.database.text(open).await == "0").then_some(())
    })
    .await;
}

/// The numbers in the payloads, as they arrived.
fn arrived(house: &House) -> Vec<u64> {
    let number =
        |body: &[u8]| String::from_utf8_lossy(body).replace(r#"{"n":"#, "").replace('}', "").parse().unwrap();
    house.sink.arrivals().iter().map(|one| number(&one.body)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_a_key_arrive_strictly_in_order_over_two_workers() {
    let house = in_order().await;
    let (one, two) = (house.worker().await, house.worker().await);
    for n in 0..60 {
        publish(&house, "cart-1", n).await;
    }
    all_finished(&house).await;
    one.stop().await;
    two.stop().await;
    assert_eq!(arrived(&house), (0..60).collect::<Vec<u64>>());
}

#[tokio::test]
async fn what_a_killed_worker_left_waiting_behind_nothing_goes_with_its_lanes() {
    // As if a worker had written the outcome before down, and had not come to let the next go.
    const STRAND: &str = "UPDATE trunkline.deliveries
                          SET status = 'PENDING', held = true, finished_at = NULL, due_at = NULL";
    let house = in_order().await;
    let event_id = publish(&house, "k", 1).await;
    house.database.execute(STRAND).await;
    let worker = house.worker().await;
    // Its first round finds it; the next is a minute away.
    house.until(event_id, "DELIVERED").await;
    let killed = Process::start(&house);
    let owners = "SELECT count(DISTINCT owner) FROM trunkline.lanes";
    eventually("two have lanes", async || (house.database.text(owners).await == "2").then_some(())).await;
    house.database.execute(STRAND).await;
    killed.kill();
    house.until(event_id, "DELIVERED").await;
    worker.stop().await;
}

#[tokio::test]
async fn a_failed_event_is_retried_before_the_next_is_tried_and_other_keys_go_on() {
    let house = in_order().await;
    house.sink.script([Answer::Status(500), Answer::Status(500)]);
    let (first, second) = (publish(&house, "a", 1).await, publish(&house, "a", 2).await);
    let worker = house.worker().await;
    house.until(second, "DELIVERED").await;
    assert_eq!(house.row(first).await.attempts, 3);
    let other = publish(&house, "b", 3).await;
    house.until(other, "DELIVERED").await;
    assert_eq!(arrived(&house), [1, 1, 1, 2, 3]);
    worker.stop().await;
}

#[tokio::test]
async fn the_next_goes_when_the_one_before_is_cancelled() {
    let house = in_order().await;
    let (first, second) = (publish(&house, "a", 1).await, publish(&house, "a", 2).await);
    let third = publish(&house, "a", 3).await;
    let mut connection = house.database.borrow().await;
    let now = trunkline_store::time::now(&mut connection).await.unwrap();
    for event_id in [second, first] {
        let (lane, tenant) = (house.acme.lane, &house.acme.tenant_id);
        let (cancelled, _) =
            trunkline_store::deliveries::cancel_in_order(&mut connection, lane, tenant, event_id, now)
                .await
                .unwrap();
        assert_eq!(cancelled, 1);
    }
    let worker = house.worker().await;
    house.until(third, "DELIVERED").await;
    assert_eq!(arrived(&house), [3]);
    worker.stop().await;
}

#[tokio::test]
async fn a_dead_letter_is_skipped_or_blocks_as_the_endpoint_says() {
    for (blocks, status) in [(false, "DELIVERED"), (true, "PENDING")] {
        let house = in_order().await;
        house.database.execute(&format!("UPDATE trunkline.endpoints SET ordering_blocks = {blocks}")).await;
        house.sink.script([Answer::Status(500), Answer::Status(500), Answer::Status(500)]);
        let (first, second) = (publish(&house, "a", 1).await, publish(&house, "a", 2).await);
        let worker = house.worker().await;
        eventually("the first is a dead letter", async || {
            let row = house.row(first).await;
            (row.status == "FAILED" && !row.is_due).then_some(())
        })
        .await;
        // One that comes later waits too, or does not.
        let third = publish(&house, "a", 3).await;
        let other = publish(&house, "b", 4).await;
        house.until(other, "DELIVERED").await;
        for event_id in [second, third] {
            house.until(event_id, status).await;
        }
        if blocks {
            let (lane, tenant) = (house.acme.lane, &house.acme.tenant_id);
            let mut connection = house.database.borrow().await;
            let now = trunkline_store::time::now(&mut connection).await.unwrap();
            trunkline_store::deliveries::reopen(&mut connection, lane, tenant, first, None, now)
                .await
                .unwrap();
            drop(connection);
            house.until(third, "DELIVERED").await;
            assert_eq!(arrived(&house), [1, 1, 1, 4, 1, 2, 3]);
        }
        worker.stop().await;
    }
}

#[tokio::test]
async fn a_dead_letter_that_blocked_lets_the_next_go_when_it_is_purged() {
    let house = in_order().await;
    house.database.execute("UPDATE trunkline.endpoints SET ordering_blocks = true").await;
    house.sink.script([Answer::Status(500), Answer::Status(500), Answer::Status(500)]);
    let (first, second) = (publish(&house, "a", 1).await, publish(&house, "a", 2).await);
    let worker = house.worker().await;
    eventually("the first is a dead letter", async || {
        let row = house.row(first).await;
        (row.status == "FAILED" && !row.is_due).then_some(())
    })
    .await;
    let mut connection = house.database.borrow().await;
    let now = trunkline_store::time::now(&mut connection).await.unwrap();
    let key = trunkline_store::deliveries::DeliveryKey {
        lane: house.acme.lane,
        tenant_id: house.acme.tenant_id.clone(),
        event_id: first,
        endpoint_id: house.acme.endpoint_id,
    };
    let purged = trunkline_store::deliveries::purge_in_order(&mut connection, &[key], now).await.unwrap();
    assert_eq!((purged.0, purged.1.len()), (1, 1));
    drop(connection);
    house.until(second, "DELIVERED").await;
    worker.stop().await;
}

#[tokio::test]
async fn an_answer_is_written_down_while_somebody_publishes_with_its_key() {
    let house = in_order().await;
    let first = publish(&house, "a", 1).await;
    house.sink.script([Answer::Hold]);
    let worker = house.worker().await;
    house.sink.wait_for(1).await;
    // An application's transaction, which takes its time.
    let mut application = house.database.connect().await;
    let publish = r#"BEGIN; SELECT trunkline.publish('acme', 'step', '{"n":2}', ordering_key => 'a')"#;
    trunkline_testkit::run(&mut application, publish).await;
    house.sink.release(1);
    house.until(first, "DELIVERED").await;
    trunkline_testkit::run(&mut application, "COMMIT").await;
    all_finished(&house).await;
    assert_eq!(arrived(&house), [1, 2]);
    worker.stop().await;
}

#[tokio::test]
async fn a_clock_that_is_behind_puts_no_event_before_what_is_there() {
    let house = in_order().await;
    // What a publisher left behind whose clock was an hour ahead.
    let ahead = "SELECT trunkline.uuid_v7(clock_timestamp() + interval '1 hour')";
    let ahead = house.database.text(ahead).await;
    house
        .database
        .execute(&format!(
            "INSERT INTO trunkline.ordering_keys SELECT lane, tenant_id, 'a', '{ahead}' FROM trunkline.tenants"
        ))
        .await;
    let (first, second) = (publish(&house, "a", 1).await, publish(&house, "a", 2).await);
    assert!(first.as_uuid().to_string() > ahead && second > first);
    let worker = house.worker().await;
    all_finished(&house).await;
    assert_eq!(arrived(&house), [1, 2]);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishers_at_the_same_time_leave_nobody_waiting() {
    let house = in_order().await;
    let worker = house.worker().await;
    let publishers = (0..8).map(|publisher| {
        let house = &house;
        async move {
            for n in 0..15 {
                publish(house, if n % 2 == 0 { "even" } else { "odd" }, publisher * 15 + n).await;
            }
        }
    });
    futures_util::future::join_all(publishers).await;
    all_finished(&house).await;
    // Order of commit is order of ids: each key's arrivals rise.
    let order = "SELECT bool_and(started_at >= previous) FROM (
        SELECT a.started_at, lag(a.started_at) OVER (PARTITION BY e.ordering_key ORDER BY e.event_id) AS previous
        FROM trunkline.attempts AS a JOIN trunkline.events AS e USING (lane, tenant_id, event_id)) AS pairs";
    assert_eq!(house.database.text(order).await, "t");
    assert_eq!(house.sink.arrivals().len(), 120);
    worker.stop().await;
}

#[tokio::test]
async fn an_endpoint_that_delivers_in_no_order_takes_no_notice_of_keys() {
    let house = House::new().await;
    house.sink.script([Answer::Hold]);
    publish(&house, "a", 1).await;
    let second = publish(&house, "a", 2).await;
    let worker = house.worker().await;
    house.until(second, "DELIVERED").await;
    house.sink.release(1);
    worker.stop().await;
}

#[tokio::test]
async fn an_event_for_later_is_delivered_when_its_time_has_come() {
    let house = House::new().await;
    let worker = house.worker().await;
    let sql = "SELECT trunkline.publish('acme', 'later', '{}', deliver_at => clock_timestamp() + interval '1200 milliseconds')";
    let later: EventId = house.database.text(sql).await.parse().unwrap();
    let now = house.publish("{}").await;
    house.until(now, "DELIVERED").await;
    house.until(later, "DELIVERED").await;
    let sql = "SELECT bool_and(a.started_at >= e.deliver_at) FROM trunkline.attempts AS a
               JOIN trunkline.events AS e USING (lane, tenant_id, event_id) WHERE e.deliver_at IS NOT NULL";
    assert_eq!(house.database.text(sql).await, "t");
    worker.stop().await;
}
