//! The schema's version: applied once, told apart from older and newer ones.

use trunkline_store::partitions;
use trunkline_store::schema::{SchemaError, SchemaState, migrate, require_current, state};
use trunkline_testkit::TestDatabase;

#[tokio::test]
async fn a_fresh_database_becomes_current_and_accepts_events_at_once() {
    let database = TestDatabase::unmigrated().await;
    let mut connection = database.connect().await;
    assert!(matches!(state(&mut connection).await.unwrap(), SchemaState::TooOld { found: None, .. }));
    let applied = migrate(&mut connection, 7, 1).await.unwrap();
    assert!(!applied.is_empty());
    assert_eq!(state(&mut connection).await.unwrap(), SchemaState::Current);
    assert_eq!(partitions::days_ahead(&mut connection).await.unwrap(), 7);
    assert_eq!(
        migrate(&mut connection, 7, 1).await.unwrap(),
        Vec::<i64>::new(),
        "a second run changes nothing"
    );
}

#[tokio::test]
async fn two_migrations_at_once_wait_for_each_other() {
    let database = TestDatabase::unmigrated().await;
    let (mut one, mut two) = (database.connect().await, database.connect().await);
    let (first, second) = tokio::join!(migrate(&mut one, 7, 1), migrate(&mut two, 7, 1));
    first.unwrap();
    second.unwrap();
    assert_eq!(state(&mut one).await.unwrap(), SchemaState::Current);
}

#[tokio::test]
async fn a_schema_of_another_release_is_refused_with_advice() {
    let database = TestDatabase::new().await;
    let mut connection = database.connect().await;
    database.execute("INSERT INTO trunkline._sqlx_migrations (version, description, success, checksum, execution_time) VALUES (99990101000000, 'later', true, '', 0)").await;
    let newer = require_current(&mut connection, &[]).await.unwrap_err();
    assert!(matches!(newer, SchemaError::TooNew { found: 99_990_101_000_000, .. }), "{newer}");
    assert!(newer.to_string().contains("newer"), "{newer}");
    assert!(
        matches!(migrate(&mut connection, 7, 1).await, Err(SchemaError::TooNew { .. })),
        "nor is it migrated"
    );

    database.execute("DELETE FROM trunkline._sqlx_migrations WHERE version > (SELECT min(version) FROM trunkline._sqlx_migrations)").await;
    let older = require_current(&mut connection, &[]).await.unwrap_err();
    assert!(older.to_string().contains("trunkline migrate"), "{older}");
}
