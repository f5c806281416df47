//! Lanes: spread evenly, handed over in order, and what they make exact: caps and rates over any number of workers.

use std::time::Duration;

use trunkline_testkit::{Answer, Sink, eventually, publish, seed_tenant};

use crate::house::{House, millis};

/// How many lanes each worker owns, the most first, such as `22 21 21`.
const SHARES: &str = "SELECT coalesce(string_agg(count::text, ' ' ORDER BY count DESC), '')
    FROM (SELECT count(*) FROM trunkline.lanes WHERE owner IS NOT NULL GROUP BY owner) AS shares";

async fn until_shares(house: &House, expected: &str) {
    eventually(&format!("lanes are shared {expected}"), async || {
        (house.database.text(SHARES).await == expected).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lanes_are_spread_evenly_when_workers_come_and_go() {
    let house = House::new().await;
    let one = house.worker().await;
    until_shares(&house, "64").await;
    let two = house.worker().await;
    until_shares(&house, "32 32").await;
    let three = house.worker().await;
    until_shares(&house, "22 21 21").await;
    two.stop().await;
    until_shares(&house, "32 32").await;
    one.stop().await;
    three.stop().await;
    assert_eq!(house.database.text(SHARES).await, "", "a worker that stops leaves nothing behind");
    assert_eq!(house.database.text("SELECT count(*) FROM trunkline.workers").await, "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cap_holds_over_two_workers_while_lanes_change_hands() {
    let house = House::with(|settings| {
        settings.worker.endpoint_concurrency = 3;
        settings.delivery.timeout = millis(20_000);
    })
    .await;
    house.sink.answer(Answer::Hold);
    for _ in 0..12 {
        house.publish("{}").await;
    }
    let one = house.worker().await;
    house.sink.wait_for(3).await;
    // Whichever worker the endpoint's lane is to go to, it goes there only when these three are done.
    let two = house.worker().await;
    eventually("the second worker serves", async || {
        let served = "SELECT count(DISTINCT owner) FROM trunkline.lanes WHERE owner IS NOT NULL";
        (house.database.text(served).await == "2").then_some(())
    })
    .await;
    let other = Sink::start().await;
    let globex = seed_tenant(&house.database, &house.settings, "globex", &other.url("/")).await;
    for _ in 0..20 {
        publish(&house.database, &globex, "{}").await;
    }
    other.wait_for(20).await;
    assert_eq!(house.sink.arrivals().len(), 3, "both workers had every chance to exceed the cap");
    house.sink.answer(Answer::Status(200));
    house.sink.release(3);
    house.sink.wait_for(12).await;
    one.stop().await;
    two.stop().await;
    assert_eq!(house.sink.arrivals().len(), 12);
}

#[tokio::test]
async fn an_endpoint_gets_no_more_attempts_a_second_than_it_allows() {
    let house = House::new().await;
    house.database.execute("UPDATE trunkline.endpoints SET rate_per_second = 4").await;
    for _ in 0..10 {
        house.publish("{}").await;
    }
    let worker = house.worker().await;
    house.sink.wait_for(10).await;
    worker.stop().await;
    // Between a start and the fourth after it lies a second, less what the two took to note their times.
    let closest = "SELECT extract(epoch FROM min(later - started_at)) >= 0.9
        FROM (SELECT started_at, lead(started_at, 4) OVER (ORDER BY started_at) AS later FROM trunkline.attempts) AS starts";
    assert_eq!(house.database.text(closest).await, "t");
}

#[tokio::test]
async fn an_endpoint_that_keeps_failing_is_left_alone_for_a_while() {
    let house = House::with(|settings| {
        settings.worker.endpoint_concurrency = 1;
        settings.delivery.retry_schedule = vec![Duration::from_secs(3_600)];
    })
    .await;
    house.sink.answer(Answer::Status(500));
    for _ in 0..30 {
        house.publish("{}").await;
    }
    let worker = house.worker().await;
    house.sink.wait_for(10).await;
    let other = Sink::start().await;
    let globex = seed_tenant(&house.database, &house.settings, "globex", &other.url("/")).await;
    for _ in 0..20 {
        publish(&house.database, &globex, "{}").await;
    }
    other.wait_for(20).await;
    worker.stop().await;
    assert_eq!(house.sink.arrivals().len(), 10, "the breaker opened with the tenth failure");
}

#[tokio::test]
async fn a_worker_whose_session_is_cut_serves_again() {
    let house = House::new().await;
    let worker = house.worker().await;
    house.publish("{}").await;
    house.sink.wait_for(1).await;
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_locks
        WHERE locktype = 'advisory' AND mode = 'ExclusiveLock'
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
          -- Its key is the beginning of the worker's id; other locks are for making partitions and for ending history.
          AND (classid::bigint << 32 | objid::bigint) IN (
              SELECT ('x' || left(replace(worker_id::text, '-', ''), 16))::bit(64)::bigint FROM trunkline.workers)";
    assert_eq!(house.database.text(cut).await, "1", "the session holds the worker's lock");
    for count in 2..=5 {
        house.publish("{}").await;
        house.sink.wait_for(count).await;
    }
    until_shares(&house, "64").await;
    worker.stop().await;
}

/// While it is listed, its leases hold nobody up.
#[tokio::test]
async fn a_worker_is_remembered_as_long_as_its_leases_last() {
    for (lease, remembered) in [(30, "0"), (120, "1")] {
        let house = House::with(|settings| settings.worker.lease = Duration::from_secs(lease)).await;
        let silent = "INSERT INTO trunkline.workers (worker_id, name, version, has_session, started_at, seen_at)
                      VALUES (gen_random_uuid(), 'silent', '0', true, now() - interval '1 hour', now() - interval '90 seconds')";
        house.database.execute(silent).await;
        let worker = house.worker().await;
        until_shares(&house, "64").await;
        let listed =
            house.database.text("SELECT count(*) FROM trunkline.workers WHERE name = 'silent'").await;
        assert_eq!(listed, remembered, "with a lease of {lease} s");
        worker.stop().await;
    }
}
