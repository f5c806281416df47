//! What a worker keeps up beside delivering.

use trunkline_testkit::eventually;

use crate::house::House;

#[tokio::test]
async fn a_worker_makes_the_partitions_of_the_coming_days() {
    let house = House::with(|settings| settings.partitions.ahead = 9).await;
    let ahead =
        "SELECT max(until_day) - 1 - (now() AT TIME ZONE 'UTC')::date FROM trunkline.history_partitions";
    assert_ne!(house.database.text(ahead).await, "9");
    let worker = house.worker().await;
    eventually("nine days have partitions", async || (house.database.text(ahead).await == "9").then_some(()))
        .await;
    worker.stop().await;
}

#[tokio::test]
async fn a_duty_that_fails_keeps_no_other_from_being_done() {
    let house = House::new().await;
    let key = "INSERT INTO trunkline.ordering_keys
        SELECT lane, tenant_id, 'a', '00000000-0000-0000-0000-000000000000' FROM trunkline.tenants";
    house.database.execute(key).await;
    let mut holder = house.database.connect().await;
    trunkline_testkit::run(&mut holder, "BEGIN; LOCK TABLE trunkline.ordering_keys").await;
    // Something waits behind nothing, which nobody can let go now.
    let event_id = house.publish("{}").await;
    house
        .database
        .execute(
            "UPDATE trunkline.deliveries SET ordering_key = 'a', held = true, due_at = NULL;
             INSERT INTO trunkline.idempotency_keys
             SELECT lane, tenant_id, 'old', decode(repeat('00', 32), 'hex'), gen_random_uuid(), now() - interval '1 s'
             FROM trunkline.tenants",
        )
        .await;
    let worker = house.worker().await;
    let keys = "SELECT count(*) FROM trunkline.idempotency_keys";
    eventually("keys are swept", async || (house.database.text(keys).await == "0").then_some(())).await;
    assert_eq!(house.row(event_id).await.status, "PENDING");
    trunkline_testkit::run(&mut holder, "ROLLBACK").await;
    house.until(event_id, "DELIVERED").await;
    worker.stop().await;
}

#[tokio::test]
async fn a_worker_is_listed_while_it_is_alive() {
    let house = House::new().await;
    let listed = "SELECT count(*) FROM trunkline.workers";
    let worker = house.worker().await;
    eventually("it is listed", async || (house.database.text(listed).await == "1").then_some(())).await;
    worker.stop().await;
    assert_eq!(house.database.text(listed).await, "0");
}

#[tokio::test]
async fn a_worker_sweeps_idempotency_keys_that_expired() {
    let house = House::new().await;
    let keys = "INSERT INTO trunkline.idempotency_keys
        SELECT 1, 'acme', 'key-' || n, decode(repeat('00', 32), 'hex'), gen_random_uuid(),
               now() + CASE WHEN n = 1 THEN interval '1 hour' ELSE interval '-1 second' END
        FROM generate_series(1, 2500) AS n";
    house.database.execute(keys).await;
    let worker = house.worker().await;
    let left = "SELECT string_agg(key, ' ') FROM trunkline.idempotency_keys";
    eventually("only the living key is left", async || {
        (house.database.text(left).await == "key-1").then_some(())
    })
    .await;
    worker.stop().await;
}

#[tokio::test]
async fn a_worker_sweeps_ordering_keys_that_were_not_used_for_longer_than_payloads_are_kept() {
    let house = House::new().await;
    let keys = "INSERT INTO trunkline.ordering_keys
        SELECT lane, tenant_id, 'key-' || n, trunkline.uuid_v7(now() - CASE WHEN n = 1 THEN interval '20 days' ELSE interval '20 years' END)
        FROM trunkline.tenants, generate_series(1, 2500) AS n";
    house.database.execute(keys).await;
    let worker = house.worker().await;
    let left = "SELECT string_agg(key, ' ') FROM trunkline.ordering_keys";
    eventually("only the one in use is left", async || {
        (house.database.text(left).await == "key-1").then_some(())
    })
    .await;
    worker.stop().await;
}

#[tokio::test]
async fn what_was_published_while_its_endpoint_was_deleted_is_cancelled() {
    let house = House::new().await;
    let event_id = house.publish("{}").await;
    // The deletion saw nothing of the event, as if that was committed a moment later.
    house
        .database
        .execute(
            "UPDATE trunkline.endpoints SET enabled = false, disabled_reason = 'manual', deleted_at = now()
             WHERE name = 'default'",
        )
        .await;
    let worker = house.worker().await;
    let row = house.until(event_id, "CANCELLED").await;
    assert_eq!((row.attempts, row.is_due), (0, false));
    worker.stop().await;
    assert_eq!(house.sink.arrivals().len(), 0);
}

#[tokio::test]
async fn of_an_endpoint_deleted_long_ago_all_is_cancelled_and_then_nobody_looks_again() {
    let house = House::new().await;
    let event_id = house.publish("{}").await;
    house
        .database
        .execute(
            "UPDATE trunkline.endpoints SET enabled = false, disabled_reason = 'manual', deleted_at = now() - interval '9 days'
             WHERE name = 'default'",
        )
        .await;
    let more = "INSERT INTO trunkline.deliveries (lane, tenant_id, event_id, endpoint_id, status, due_at, created_at)
        SELECT lane, tenant_id, trunkline.uuid_v7(), endpoint_id, status, due_at, created_at
        FROM trunkline.deliveries, generate_series(1, 1500)";
    house.database.execute(more).await;
    let worker = house.worker().await;
    house.until(event_id, "CANCELLED").await;
    let cleared = "SELECT bool_and(cleared) FROM trunkline.endpoints WHERE deleted_at IS NOT NULL";
    eventually("it is cleared", async || (house.database.text(cleared).await == "t").then_some(())).await;
    worker.stop().await;
    let open = "SELECT count(*) FROM trunkline.deliveries WHERE status <> 'CANCELLED'";
    assert_eq!(house.database.text(open).await, "0");
}
