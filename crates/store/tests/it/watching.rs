//! What those who run it are shown of the queue.

use chrono::{Duration, Utc};
use trunkline_domain::{EndpointId, Lane};
use trunkline_store::retention::{self, Turn};
use trunkline_store::watch::{self, Gate, Sweep};
use trunkline_store::{Purpose, endpoints, inspect, time};
use trunkline_testkit::{TestDatabase, eventually, publish, run, seed_tenant, settings};

#[tokio::test]
async fn what_waits_is_told_by_what_holds_it_back() {
    let database = TestDatabase::new().await;
    let settings = settings(&database);
    let mut ids = Vec::new();
    let tenants = [
        ("ready", 3),
        ("paused", 2),
        ("asked-to-wait", 7),
        ("breaker", 1),
        ("probed", 6),
        ("disabled", 4),
        ("suspended", 5),
        ("slow-by-choice", 8),
        ("busy", 5),
    ];
    for (tenant_id, events) in tenants {
        let tenant = seed_tenant(&database, &settings, tenant_id, "http://127.0.0.1:9/").await;
        for _ in 0..events {
            publish(&database, &tenant, "{}").await;
        }
        ids.push(tenant.endpoint_id);
    }
    let change = |set: &str, id: EndpointId| {
        format!("UPDATE trunkline.endpoints SET {set} WHERE endpoint_id = '{}'", id.as_uuid())
    };
    let pool = database.pool(Purpose::Engine);
    let mut connection = pool.acquire().await.unwrap();
    let paused =
        endpoints::set_paused(&mut connection, &"paused".parse().unwrap(), ids[1], true, Utc::now()).await;
    assert!(paused.unwrap());
    database.execute(&change("paused_until = now() + interval '1 hour'", ids[2])).await;
    database.execute(&change("breaker_open_until = now() + interval '1 minute'", ids[3])).await;
    database.execute(&change("breaker_open_until = now() - interval '2 seconds'", ids[4])).await;
    database.execute(&change("enabled = false, disabled_reason = 'manual'", ids[5])).await;
    database.execute("UPDATE trunkline.tenants SET status = 'SUSPENDED' WHERE tenant_id = 'suspended'").await;
    database.execute(&change("rate_per_second = 1", ids[7])).await;
    database
        .execute(
            "UPDATE trunkline.deliveries SET lease = 1, leased_until = now() + interval '1 minute', attempts = 1, cycle_attempts = 1
             WHERE event_id IN (SELECT event_id FROM trunkline.deliveries WHERE tenant_id = 'busy' ORDER BY event_id LIMIT 3)",
        )
        .await;
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

    let now = time::now(&mut connection).await.unwrap();
    let (queue, endpoints) = watch::queue(&mut connection, now, 4).await.unwrap();
    assert_eq!(queue.due, [1, 8 + 2, 2 + 7 + 1 + 6, 4 + 5], "ready, limited, paused, blocked");
    assert_eq!((queue.in_flight, queue.scheduled, queue.held, queue.is_estimate), (1 + 3, 1, 0, false));
    let age = now - queue.oldest_due_at[Gate::Ready as usize].unwrap();
    assert!(age >= Duration::hours(1) && age < Duration::hours(2), "{age}");
    assert_eq!(endpoints.len(), tenants.len());
    assert_eq!((endpoints[0].tenant_id.as_str(), endpoints[0].gate), ("ready", Gate::Ready));

    // A lease that ran out leaves a delivery that is due.
    database.execute(&of_ready("leased_until = now() - interval '1 hour'", 0)).await;
    let (queue, _) = watch::queue(&mut connection, now, 4).await.unwrap();
    assert_eq!((queue.due[0], queue.in_flight), (2, 3));
}

/// Open deliveries of acme, one at each of so many endpoints that are not the first.
async fn open_at(database: &TestDatabase, lane: Lane, endpoints: u32, due_at: &str) {
    database
        .execute(&format!(
            "WITH made AS (
                 INSERT INTO trunkline.endpoints (tenant_id, endpoint_id, lane, name, url, created_at, updated_at)
                 SELECT 'acme', gen_random_uuid(), {lane}, gen_random_uuid(), 'http://127.0.0.1:9/', now(), now()
                 FROM generate_series(1, {endpoints})
                 RETURNING endpoint_id
             )
             INSERT INTO trunkline.deliveries (lane, tenant_id, event_id, endpoint_id, status, due_at, created_at)
             SELECT {lane}, 'acme', trunkline.uuid_v7(), endpoint_id, 'PENDING', {due_at}, now() FROM made",
            lane = lane.number(),
        ))
        .await;
}

#[tokio::test]
async fn what_waits_behind_any_number_of_endpoints_is_seen() {
    let database = TestDatabase::new().await;
    let acme = seed_tenant(&database, &settings(&database), "acme", "http://127.0.0.1:9/").await;
    open_at(&database, Lane::new(3).unwrap(), 2_100, "now() + interval '1 hour'").await;
    database
        .execute(&format!(
            "INSERT INTO trunkline.deliveries (lane, tenant_id, event_id, endpoint_id, status, due_at, created_at)
             VALUES (63, 'acme', trunkline.uuid_v7(), '{}', 'PENDING', now() - interval '1 hour', now())",
            acme.endpoint_id.as_uuid()
        ))
        .await;
    let pool = database.pool(Purpose::Engine);
    let mut connection = pool.acquire().await.unwrap();
    let now = time::now(&mut connection).await.unwrap();
    let mut sweep = Sweep::default();
    sweep.look(&mut connection, now, 32).await.unwrap();
    assert_eq!(sweep.queue().oldest_due_at[0], None, "a look sees 2,000 endpoints");
    // It stays in sight, whichever part is looked at.
    for _ in 0..4 {
        sweep.look(&mut connection, now, 32).await.unwrap();
        let queue = sweep.queue();
        assert_eq!((queue.due[0], queue.scheduled, queue.is_estimate), (1, 2_100, false));
        assert!(now - queue.oldest_due_at[0].unwrap() >= Duration::hours(1));
    }
    let (queue, endpoints) = watch::queue(&mut connection, now, 32).await.unwrap();
    assert_eq!((queue, endpoints.len()), (sweep.queue(), 2_101));
    assert_eq!(endpoints[0].endpoint_id, acme.endpoint_id);
}

#[tokio::test]
async fn what_an_ordering_key_holds_back_is_told() {
    let database = TestDatabase::new().await;
    let acme = seed_tenant(&database, &settings(&database), "acme", "http://127.0.0.1:9/").await;
    database
        .execute(&format!(
            "INSERT INTO trunkline.deliveries (lane, tenant_id, event_id, endpoint_id, status, due_at, held, ordering_key, created_at)
             SELECT {}, 'acme', trunkline.uuid_v7(), '{}', 'PENDING', CASE WHEN n = 1 THEN now() END, n > 1, 'one', now()
             FROM generate_series(1, 50) AS n",
            acme.lane.number(),
            acme.endpoint_id.as_uuid()
        ))
        .await;
    let pool = database.pool(Purpose::Engine);
    let mut connection = pool.acquire().await.unwrap();
    let now = time::now(&mut connection).await.unwrap();
    let (queue, _) = watch::queue(&mut connection, now, 32).await.unwrap();
    assert_eq!((queue.due[0], queue.held), (1, 49));
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
    let (queue, endpoints) = watch::queue(&mut connection, now, 32).await.unwrap();
    assert!(queue.is_estimate && endpoints[0].is_cut);
    assert_eq!(endpoints[0].due, 1_000, "no more is counted of one endpoint");
    assert!((4_000..=6_000).contains(&queue.due[0]), "{queue:?}");
}

#[tokio::test]
async fn the_turn_of_retention_is_no_forgotten_transaction() {
    let database = TestDatabase::new().await;
    let pool = database.pool(Purpose::Maintenance);
    let turn = Turn::take(&pool).await.unwrap();
    assert!(turn.is_some());
    let mut connection = database.connect().await;
    eventually("time passes", async || {
        let since = "SELECT count(*) FROM pg_stat_activity
                     WHERE application_name = 'trunkline retention' AND xact_start < clock_timestamp() - interval '0.2 seconds'";
        (database.text(since).await == "1").then_some(())
    })
    .await;
    assert!(watch::oldest_transaction_seconds(&mut connection).await.unwrap() < 0.1);
    // Other tests' sessions are on the same server.
    let oldest = inspect::oldest_snapshot(&mut connection).await.unwrap();
    assert!(!oldest.is_some_and(|oldest| oldest.holder.contains("trunkline retention")));
    drop(turn);
}

#[tokio::test]
async fn days_past_their_retention_are_counted_but_for_what_keeps_them() {
    let database = TestDatabase::new().await;
    let acme = seed_tenant(&database, &settings(&database), "acme", "http://127.0.0.1:9/").await;
    // Due to go whole, of payloads alone, kept by hand, by work, and not due yet.
    for (days_ago, rest) in [
        (100, "NULL, NULL"),
        (99, "now(), NULL"),
        (50, "NULL, NULL"),
        (49, "now(), NULL"),
        (48, "NULL, current_date + 1"),
        (46, "NULL, NULL"),
        (20, "NULL, NULL"),
    ] {
        database
            .execute(&format!(
                "SELECT trunkline.create_partition(current_date - {days_ago}, current_date - {days_ago} + 1);
                 UPDATE trunkline.history_partitions SET (payloads_gone_at, kept_until) = ROW({rest}) WHERE from_day = current_date - {days_ago}"
            ))
            .await;
    }
    database
        .execute(&format!(
            "INSERT INTO trunkline.deliveries (lane, tenant_id, event_id, endpoint_id, status, due_at, created_at)
             VALUES ({}, 'acme', trunkline.uuid_v7((current_date - 46)::timestamp AT TIME ZONE 'UTC' + interval '1 hour'), '{}', 'PENDING', now(), now())",
            acme.lane.number(),
            acme.endpoint_id.as_uuid()
        ))
        .await;
    let mut connection = database.connect().await;
    let now = time::now(&mut connection).await.unwrap();
    let overdue =
        retention::overdue_days(&mut connection, now - Duration::days(30), now - Duration::days(90)).await;
    assert_eq!(overdue.unwrap(), 3, "100, 99 and 50 days ago");
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
