//! Ordering keys: who waits by them, and when they go.

use chrono::Duration;
use trunkline_domain::EventId;
use trunkline_store::deliveries::release_free;
use trunkline_store::events::ordering::{KeyName, KeyPlace, Line, sweep};
use trunkline_store::{tenants, time};
use trunkline_testkit::{SeededTenant, TestDatabase, run, seed_tenant, settings};

/// A tenant whose endpoint delivers in order, and an event by each of these keys.
async fn published(keys: &[&str]) -> (TestDatabase, SeededTenant) {
    let database = TestDatabase::new().await;
    let acme = seed_tenant(&database, &settings(&database), "acme", "http://127.0.0.1:9/").await;
    database.execute("UPDATE trunkline.endpoints SET ordered = true WHERE name = 'default'").await;
    for key in keys {
        let publish = format!("SELECT trunkline.publish('acme', 'step', '{{}}', ordering_key => '{key}')");
        database.text(&publish).await;
    }
    (database, acme)
}

/// Brings deliveries to their end as if by hand: nobody looks who waits behind them.
async fn finish(database: &TestDatabase, which: &str) {
    let finish = "UPDATE trunkline.deliveries SET status = 'CANCELLED', due_at = NULL, held = false, finished_at = now()";
    database.execute(&format!("{finish} WHERE {which}")).await;
}

const KEYS: &str = "SELECT string_agg(key, ' ' ORDER BY key) FROM trunkline.ordering_keys";

#[tokio::test]
async fn keys_that_were_not_used_for_long_are_swept_unless_something_is_open_by_them() {
    let (database, _) = published(&["a", "b", "c", "d"]).await;
    finish(&database, "ordering_key <> 'b'").await;
    let mut connection = database.connect().await;
    let now = time::now(&mut connection).await.unwrap();
    let (mut place, mut looks) = (Some(KeyPlace::default()), 0);
    while let Some(from) = place {
        place = sweep(&mut connection, from, EventId::first_at(now - Duration::hours(1)), 2).await.unwrap();
        looks += 1;
    }
    assert_eq!((looks, database.text(KEYS).await.as_str()), (3, "a b c d"), "all were used just now");
    let mut publisher = database.connect().await;
    run(&mut publisher, "BEGIN; SELECT trunkline.publish('acme', 'step', '{}', ordering_key => 'd')").await;
    let mut place = Some(KeyPlace::default());
    while let Some(from) = place {
        place = sweep(&mut connection, from, EventId::first_at(now + Duration::hours(1)), 2).await.unwrap();
    }
    assert_eq!(database.text(KEYS).await, "b d", "one is open, the other in somebody's hands");
    run(&mut publisher, "COMMIT").await;
}

#[tokio::test]
async fn what_waits_by_a_key_that_was_swept_is_let_go_and_by_one_in_other_hands_later() {
    let (database, acme) = published(&["a", "a"]).await;
    finish(&database, "NOT held").await;
    let name = KeyName { lane: acme.lane, tenant_id: acme.tenant_id, key: "a".to_owned() };
    let line = Line { name, endpoint_id: acme.endpoint_id };
    let mut connection = database.connect().await;
    let now = time::now(&mut connection).await.unwrap();
    let mut publisher = database.connect().await;
    run(&mut publisher, "BEGIN; SELECT FROM trunkline.ordering_keys FOR UPDATE").await;
    let (released, held) = release_free(&mut connection, vec![line.clone()], now).await.unwrap();
    assert_eq!((released.len(), held), (0, vec![line.clone()]));
    run(&mut publisher, "DELETE FROM trunkline.ordering_keys; COMMIT").await;
    let (released, held) = release_free(&mut connection, vec![line], now).await.unwrap();
    assert_eq!((released.len(), held), (1, Vec::new()));
}

#[tokio::test]
async fn a_deleted_tenants_ordering_keys_go_with_it() {
    let (database, acme) = published(&["a", "b", "c"]).await;
    let mut connection = database.connect().await;
    let now = time::now(&mut connection).await.unwrap();
    tenants::end(&mut connection, &acme.tenant_id, now).await.unwrap();
    while tenants::clear(&mut connection, acme.lane, &acme.tenant_id, 2, now).await.unwrap().most() >= 2 {}
    assert_eq!(database.text(KEYS).await, "");
}
