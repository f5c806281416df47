//! What those who run it are shown of the queue.

use chrono::{Duration, Utc};
use trunkline_domain::EndpointId;
use trunkline_store::watch::{self, Gate};
use trunkline_store::{Purpose, time};
use trunkline_testkit::{TestDatabase, eventually, publish, run, seed_tenant, settings};

#[tokio::test]
async fn what_waits_is_told_by_what_holds_it_back() {
    let database = TestDatabase::new().await;
    let settings = settings(&database);
    let mut ids = Vec::new();
    for (tenant_id, events) in
        [("ready", 3), ("paused", 2), ("breaker", 1), ("disabled", 4), ("suspended", 5)]
    {
        let tenant = seed_tenant(&database, &settings, tenant_id, "http://127.0.0.1:9/").await;
        for _ in 0..events {
            publish(&database, &tenant, "{}").await;
        }
        ids.push(tenant.endpoint_id);
    }
    let change = |set: &str, id: EndpointId| {
        format!("UPDATE trunkline.endpoints SET {set} WHERE endpoint_id = '{}'", id.as_uuid())
    };
    database.execute(&change("paused_until = 'infinity'", ids[1])).await;
    database.execute(&change("breaker_open_until = now() + interval '1 minute'", ids[2])).await;
    database.execute(&change("enabled = false, disabled_reason = 'manual'", ids[3])).await;
    database.execute("UPDATE trunkline.tenants SET status = 'SUSPENDED' WHERE tenant_id = 'suspended'").await;
    // Of the first tenant's, one is under way, one is due later, and one has waited for an hour.
    let of_ready = |set: &str, offset: u32| {
        format!(
            "UPDATE trunkline.deliveries SET {set} WHERE event_id = (SELECT event_id FROM trunkline.deliveries
             WHERE tenant_id = 'ready' ORDER BY event_id OFFSET {offset} LIMIT 1)"
        )
    };
    database
        .execute(&of_ready(
            "lease = 1, leased_until = now() + interval '1 minute', attempts = 1, cycle_attempts = 1",
            0,
        ))
        .await;
    database.execute(&of_ready("due_at = now() + interval '1 hour'", 1)).await;
    database.execute(&of_ready("due_at = now() - interval '1 hour'", 2)).await;

    let pool = database.pool(Purpose::Engine);
    let mut connection = pool.acquire().await.unwrap();
    let now = time::now(&mut connection).await.unwrap();
    let (queue, endpoints) = watch::queue(&mut connection, now).await.unwrap();
    assert_eq!(queue.due, [1, 3, 9], "ready, paused, blocked");
    assert_eq!((queue.in_flight, queue.scheduled, queue.is_estimate), (1, 1, false));
    let age = now - queue.oldest_due_at[Gate::Ready as usize].unwrap();
    assert!(age >= Duration::hours(1) && age < Duration::hours(2), "{age}");
    assert_eq!(endpoints.len(), 5);
    assert_eq!((endpoints[0].tenant_id.as_str(), endpoints[0].gate), ("ready", Gate::Ready));

    // A lease that ran out leaves a delivery that is due.
    database.execute(&of_ready("leased_until = now() - interval '1 hour'", 0)).await;
    let (queue, _) = watch::queue(&mut connection, now).await.unwrap();
    assert_eq!((queue.due[0], queue.in_flight), (2, 0));
}

#[tokio::test]
async fn a_long_queue_is_told_by_estimate() {
    let database = TestDatabase::new().await;
    let acme = seed_tenant(&database, &settings(&database), "acme", "http://127.0.0.1:9/").await;
    database
        .execute(&format!(
            "INSERT INTO trunkline.deliveries (lane, tenant_id, event_id, endpoint_id, status, due_at, created_at)
             SELECT {}, 'acme', trunkline.uuid_v7(), '{}', 'PENDING', now(), now() FROM generate_series(1, 5000)",
            acme.lane.number(),
            acme.endpoint_id.as_uuid()
        ))
        .await;
    database.execute("ANALYZE trunkline.deliveries").await;
    let pool = database.pool(Purpose::Engine);
    let mut connection = pool.acquire().await.unwrap();
    let now = time::now(&mut connection).await.unwrap();
    let (queue, endpoints) = watch::queue(&mut connection, now).await.unwrap();
    assert!(queue.is_estimate && endpoints[0].is_cut);
    assert_eq!(endpoints[0].due, 1_000, "no more is counted of one endpoint");
    assert!((4_000..=6_000).contains(&queue.due[0]), "{queue:?}");
}

#[tokio::test]
async fn an_open_transaction_and_what_is_written_are_seen() {
    let database = TestDatabase::new().await;
    let acme = seed_tenant(&database, &settings(&database), "acme", "http://127.0.0.1:9/").await;
    let mut open = database.connect().await;
    run(&mut open, "BEGIN; SELECT 1").await;
    let mut connection = database.connect().await;
    let before = watch::counted(&mut connection).await.unwrap();
    eventually("the transaction is old", async || {
        let seconds = watch::oldest_transaction_seconds(&mut database.connect().await).await.unwrap();
        (seconds > 0.1).then_some(())
    })
    .await;
    run(&mut open, "COMMIT").await;
    publish(&database, &acme, "{}").await;
    eventually("the event is counted", async || {
        let counted = watch::counted(&mut database.connect().await).await.unwrap();
        (counted.events == before.events + 1).then_some(())
    })
    .await;
    let workers = watch::workers(&mut connection, Utc::now()).await.unwrap();
    assert!(workers.is_empty());
}
