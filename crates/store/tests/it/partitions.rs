//! Partitions: without gaps, made by any number of makers, in nobody's way.

use std::time::Duration;

use trunkline_store::partitions::{create_ahead, days_ahead};
use trunkline_testkit::TestDatabase;

const BOUNDS: &str = "SELECT count(*) FROM pg_class WHERE relispartition AND relkind = 'r'";

#[tokio::test]
async fn partitions_follow_each_other_without_gaps_whatever_their_width() {
    let database = TestDatabase::new().await;
    let mut connection = database.connect().await;
    create_ahead(&mut connection, 10, 3).await.unwrap();
    create_ahead(&mut connection, 30, 7).await.unwrap();
    assert!(days_ahead(&mut connection).await.unwrap() >= 30);
    let gaps = "SELECT count(*) FROM (SELECT from_day, lag(until_day) OVER (ORDER BY from_day) AS before FROM trunkline.history_partitions) AS p WHERE from_day <> before";
    assert_eq!(database.text(gaps).await, "0");
    // An id of every one of these days finds its partition.
    let every_day = "INSERT INTO trunkline.payloads (lane, tenant_id, event_id)
        SELECT 1, 'acme', trunkline.uuid_v7(now() + n * interval '1 day') FROM generate_series(0, 30) AS n";
    database.execute(every_day).await;
}

#[tokio::test]
async fn makers_at_the_same_time_make_each_partition_once() {
    let database = TestDatabase::new().await;
    let before: i32 = database.text(BOUNDS).await.parse().unwrap();
    let (mut one, mut two) = (database.connect().await, database.connect().await);
    let (first, second) = tokio::join!(create_ahead(&mut one, 9, 1), create_ahead(&mut two, 9, 1));
    let made = first.unwrap() + second.unwrap();
    let after: i32 = database.text(BOUNDS).await.parse().unwrap();
    assert_eq!(after - before, made * 4);
}

#[tokio::test]
async fn a_new_partition_does_not_wait_for_writers_nor_they_for_it() {
    let database = TestDatabase::new().await;
    let mut writer = database.connect().await;
    let open = "BEGIN; INSERT INTO trunkline.payloads (lane, tenant_id, event_id) VALUES (1, 'acme', trunkline.uuid_v7())";
    trunkline_testkit::run(&mut writer, open).await;
    let mut maker = database.connect().await;
    let making = create_ahead(&mut maker, 9, 1);
    let made = tokio::time::timeout(Duration::from_secs(10), making).await.expect("it waits for the writer");
    assert!(made.unwrap() > 0);
}
