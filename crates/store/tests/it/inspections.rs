//! What `trunkline doctor` is told: each fault is made, and seen.

use trunkline_store::inspect::{oldest_snapshot, partition_faults, settings_without_effect, worst_bloat};
use trunkline_testkit::{TestDatabase, run};

#[tokio::test]
async fn who_holds_an_old_snapshot_is_named() {
    let database = TestDatabase::new().await;
    let mut holder = database.connect().await;
    run(&mut holder, "SET application_name = 'nightly report'; BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM trunkline.lanes").await;
    let mut connection = database.connect().await;
    // Tests beside this one hold snapshots too, for a moment, on the same server.
    let seen = trunkline_testkit::eventually("the holder is seen", async || {
        let seen = oldest_snapshot(&mut database.connect().await).await.unwrap();
        seen.filter(|oldest| oldest.holder.contains("nightly report"))
    })
    .await;
    assert!(seen.seconds >= 0);
    run(&mut holder, "ROLLBACK").await;
    let left = oldest_snapshot(&mut connection).await.unwrap();
    assert!(left.is_none_or(|oldest| !oldest.holder.contains("nightly report")));
}

#[tokio::test]
async fn a_table_that_is_not_vacuumed_is_named() {
    let database = TestDatabase::new().await;
    let mut connection = database.connect().await;
    assert!(worst_bloat(&mut connection, 50_000).await.unwrap().is_none());
    database.execute("ALTER TABLE trunkline.idempotency_keys SET (autovacuum_enabled = false)").await;
    let seen = worst_bloat(&mut connection, 50_000).await.unwrap().unwrap();
    assert_eq!((seen.table.as_str(), seen.autovacuum_off), ("idempotency_keys", true));
}

#[tokio::test]
async fn days_without_partitions_and_partitions_by_themselves_are_named() {
    let database = TestDatabase::new().await;
    let mut connection = database.connect().await;
    assert_eq!(partition_faults(&mut connection).await.unwrap(), Vec::<String>::new());
    // Three days of the past, with a gap after them; one partition is gone, one is half on its way.
    database.execute("SELECT trunkline.create_partition(current_date - 10, current_date - 9)").await;
    let name = database.text("SELECT to_char(current_date - 10, 'YYYYMMDD')").await;
    database
        .execute(&format!(
            "ALTER TABLE trunkline.events DETACH PARTITION trunkline.events_{name};
             ALTER TABLE trunkline.attempts DETACH PARTITION trunkline.attempts_{name};
             DROP TABLE trunkline.attempts_{name}"
        ))
        .await;
    let faults = partition_faults(&mut connection).await.unwrap().join("\n");
    assert!(faults.contains(&format!("events_{name} is detached and still there")), "{faults}");
    assert!(faults.contains(&format!("attempts_{name} is missing")), "{faults}");
    assert!(faults.contains("no partitions from"), "{faults}");
}

#[tokio::test]
async fn retentions_and_readers_that_do_nothing_are_named() {
    let database = TestDatabase::new().await;
    let mut connection = database.connect().await;
    database
        .execute(
            "INSERT INTO trunkline.tenants (tenant_id, lane, retention_days, created_at, updated_at)
             VALUES ('long', 1, 400, now(), now()), ('short', 1, 7, now(), now());
             INSERT INTO trunkline.event_types (tenant_id, type, retention_days, created_at, updated_at)
             VALUES ('short', 'longer', 8, now(), now()), ('short', 'shorter', 2, now(), now());
             INSERT INTO trunkline.reader_tenants (role_name, tenant_id, lane) VALUES ('nobody here', 'short', 1)",
        )
        .await;
    let found = settings_without_effect(&mut connection, 90).await.unwrap();
    let expected = [
        "reader nobody here: no such login",
        "retention of tenant long (400 days)",
        "retention of type longer of tenant short (8 days)",
    ];
    assert_eq!(found, expected);
}
