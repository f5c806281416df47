//! After a restore nothing goes out before somebody has looked.

use trunkline_store::{Purpose, restore, time};
use trunkline_testkit::{publish, seed_tenant};

use crate::house::House;

#[tokio::test]
async fn what_is_held_after_a_restore_waits_even_if_it_was_retried_by_hand() {
    let house = House::new().await;
    let event_id = house.publish("{}").await;
    let retried = "UPDATE trunkline.deliveries SET expedited = true";
    house.database.execute(retried).await;
    let mut connection = house.database.connect().await;
    let now = time::now(&mut connection).await.unwrap();
    restore::hold(&mut connection, now).await.unwrap();
    // One that is new, and so not held, shows that the worker looks and sends.
    let witness = seed_tenant(&house.database, &house.settings, "witness", &house.sink.url("/witness")).await;
    let worker = house.worker().await;
    for _ in 0..3 {
        let seen = publish(&house.database, &witness, "{}").await;
        house.until(seen, "DELIVERED").await;
    }
    let row = house.row(event_id).await;
    assert_eq!((row.status.as_str(), row.attempts), ("PENDING", 0));
    let pool = house.database.pool(Purpose::Engine);
    restore::release(&mut pool.acquire().await.unwrap()).await.unwrap();
    house.until(event_id, "DELIVERED").await;
    worker.stop().await;
}

#[tokio::test]
async fn what_waits_behind_its_ordering_key_is_told_after_a_restore() {
    let house = House::new().await;
    house.publish("{}").await;
    let behind = format!(
        "INSERT INTO trunkline.deliveries (lane, tenant_id, event_id, endpoint_id, status, held, ordering_key, created_at)
         SELECT {}, 'acme', trunkline.uuid_v7(), '{}', 'PENDING', true, 'one', now() FROM generate_series(1, 7)",
        house.acme.lane.number(),
        house.acme.endpoint_id.as_uuid()
    );
    house.database.execute(&behind).await;
    let standing = restore::standing(&mut house.database.connect().await).await.unwrap();
    assert_eq!((standing.due, standing.behind_key), (1, 7));
}
