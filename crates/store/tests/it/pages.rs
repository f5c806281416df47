//! History in pages: each status by the index that answers it, filters bounded, partitions pruned.

use trunkline_domain::{EventId, EventStatus};
use trunkline_store::events::{
    EventFilter, IdRange, status, summarise, with_any_status, with_status_failed, with_status_pending,
};
use trunkline_store::{Purpose, pool};
use trunkline_testkit::{SeededTenant, TestDatabase, publish, seed_tenant, settings};

async fn seeded() -> (TestDatabase, SeededTenant, Vec<EventId>) {
    let database = TestDatabase::new().await;
    let acme = seed_tenant(&database, &settings(&database), "acme", "http://127.0.0.1:9/").await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(publish(&database, &acme, "{}").await);
    }
    let set = async |id: EventId, change: &str| {
        database
            .execute(&format!("UPDATE trunkline.deliveries SET {change} WHERE event_id = '{}'", id.as_uuid()))
            .await;
    };
    let attempted = "attempts = 1, last_attempt_at = now()";
    set(ids[0], &format!("status = 'DELIVERED', due_at = NULL, finished_at = now(), {attempted}")).await;
    set(ids[1], &format!("status = 'FAILED', due_at = NULL, finished_at = now(), {attempted}")).await;
    set(ids[2], "status = 'CANCELLED', due_at = NULL, finished_at = now()").await;
    (database, acme, ids)
}

#[tokio::test]
async fn each_status_finds_its_events() {
    let (database, acme, ids) = seeded().await;
    let mut connection = database.connect().await;
    let (lane, tenant) = (acme.lane, &acme.tenant_id);
    let expected =
        [EventStatus::Delivered, EventStatus::Failed, EventStatus::Cancelled, EventStatus::Pending];
    for (id, wanted) in ids.iter().zip(expected) {
        assert_eq!(status(&mut connection, lane, tenant, *id).await.unwrap(), Some(wanted));
        let filter = EventFilter { status: Some(wanted), ..EventFilter::default() };
        let found = summarise(&mut connection, lane, tenant, &ids, &filter, 10).await.unwrap();
        assert_eq!(found.iter().map(|one| one.event_id).collect::<Vec<_>>(), [*id]);
    }
    let all = with_any_status(&mut connection, lane, tenant, IdRange::ALL, 10).await.unwrap();
    assert_eq!(all, ids.iter().rev().copied().collect::<Vec<_>>(), "newest first");
    assert_eq!(with_status_pending(&mut connection, lane, tenant, IdRange::ALL, 10).await.unwrap(), [ids[3]]);
    assert_eq!(with_status_failed(&mut connection, lane, tenant, IdRange::ALL, 10).await.unwrap(), [ids[1]]);
}

#[tokio::test]
async fn a_range_of_ids_bounds_a_page() {
    let (database, acme, ids) = seeded().await;
    let mut connection = database.connect().await;
    let range = IdRange { from: ids[1].as_uuid(), before: ids[3].as_uuid() };
    let found = with_any_status(&mut connection, acme.lane, &acme.tenant_id, range, 10).await.unwrap();
    assert_eq!(found, [ids[2], ids[1]]);
}

#[tokio::test]
async fn a_point_read_touches_one_partition_only() {
    let (database, acme, ids) = seeded().await;
    let mut connection = pool::connect(database.url(), Purpose::Request).await.unwrap();
    trunkline_testkit::run(&mut connection, "BEGIN").await;
    trunkline_store::events::find(&mut connection, acme.lane, &acme.tenant_id, ids[0])
        .await
        .unwrap()
        .unwrap();
    let locked = "SELECT count(*)::text FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation
                  WHERE l.pid = pg_backend_pid() AND c.relispartition AND c.relkind = 'r'";
    // One of events, one of payloads, one of deliveries.
    assert_eq!(trunkline_testkit::text(&mut connection, locked).await, "3");
}

#[tokio::test]
async fn the_last_day_of_a_long_history_is_read_without_its_older_partitions() {
    let (database, acme, ids) = seeded().await;
    database
        .execute(
            "SELECT trunkline.create_partition(current_date - n, current_date - n + 1)
             FROM generate_series(2, 20) AS n",
        )
        .await;
    let mut connection = pool::connect(database.url(), Purpose::Request).await.unwrap();
    trunkline_testkit::run(&mut connection, "BEGIN").await;
    let (recent, _) = IdRange::ALL.last_day(chrono::Utc::now());
    let found = with_any_status(&mut connection, acme.lane, &acme.tenant_id, recent, 10).await.unwrap();
    assert_eq!(found.len(), ids.len());
    let older = "SELECT count(*)::text FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation
                 WHERE l.pid = pg_backend_pid() AND c.relname ~ '^events_[0-9]+$'
                   AND c.relname < 'events_' || to_char(current_date - 1, 'YYYYMMDD')";
    assert_eq!(trunkline_testkit::text(&mut connection, older).await, "0");
    with_any_status(&mut connection, acme.lane, &acme.tenant_id, IdRange::ALL, 10).await.unwrap();
    assert_eq!(trunkline_testkit::text(&mut connection, older).await, "19", "which all of it is not");
}
