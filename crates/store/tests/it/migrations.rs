//! The schema's version: applied once, told apart from older and newer ones.

use trunkline_store::partitions;
use trunkline_store::schema::{SchemaError, SchemaState, migrate, require_current, state};
use trunkline_testkit::{TestDatabase, eventually, run};

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
async fn a_release_serves_on_a_newer_schema_that_left_in_place_what_it_needs() {
    let database = TestDatabase::new().await;
    let mut connection = database.connect().await;
    remember(&database, 99_990_101_000_000, "add something").await;
    assert_eq!(state(&mut connection).await.unwrap(), SchemaState::Newer { found: 99_990_101_000_000 });
    require_current(&mut connection, &[]).await.unwrap();
    let applied = migrate(&mut connection, 7, 1).await.unwrap();
    assert!(applied.is_empty(), "the release that is rolled back to has nothing to apply");

    // What was taken away was needed by releases long before this one, not by this one.
    remember(&database, 99_990_101_000_001, "contract 20261124000100 drop something").await;
    require_current(&mut connection, &[]).await.unwrap();
}

#[tokio::test]
async fn a_release_refuses_a_schema_that_lacks_what_it_needs() {
    let database = TestDatabase::new().await;
    let mut connection = database.connect().await;
    remember(&database, 99_990_101_000_000, "contract 99990101000000 drop something").await;
    remember(&database, 99_990_101_000_001, "add something").await;
    let newer = require_current(&mut connection, &[]).await.unwrap_err();
    assert!(matches!(newer, SchemaError::TooNew { found: 99_990_101_000_000, .. }), "{newer}");
    assert!(newer.to_string().contains("newer"), "{newer}");
    assert!(
        matches!(migrate(&mut connection, 7, 1).await, Err(SchemaError::TooNew { .. })),
        "nor is it migrated"
    );
}

#[tokio::test]
async fn a_schema_that_lacks_a_migration_of_this_release_is_refused_with_advice() {
    let database = TestDatabase::new().await;
    let mut connection = database.connect().await;
    // One in the middle is as bad as the last one, and a newer release's does not make up for it.
    database.execute("DELETE FROM trunkline._sqlx_migrations WHERE version = (SELECT max(version) FROM trunkline._sqlx_migrations)").await;
    remember(&database, 99_990_101_000_000, "add something").await;
    let older = require_current(&mut connection, &[]).await.unwrap_err();
    assert!(older.to_string().contains("trunkline migrate"), "{older}");
}

/// Writers queue behind a migration that waits for a lock, so it must not wait long, and must get through in the end.
#[tokio::test]
async fn a_migration_that_cannot_get_its_lock_lets_writers_pass_and_tries_again() {
    let database = TestDatabase::unmigrated().await;
    // Each migration writes itself down here, as sqlx would make it; somebody else's long transaction forbids that.
    database.execute("CREATE SCHEMA trunkline").await;
    database
        .execute(
            "CREATE TABLE trunkline._sqlx_migrations (version bigint PRIMARY KEY, description text NOT NULL,
             installed_on timestamptz NOT NULL DEFAULT now(), success boolean NOT NULL, checksum bytea NOT NULL,
             execution_time bigint NOT NULL)",
        )
        .await;
    let mut holder = database.connect().await;
    run(&mut holder, "BEGIN; LOCK TABLE trunkline._sqlx_migrations IN SHARE MODE").await;
    let mut migrating = database.connect().await;
    let waiting = "SELECT count(*)::text FROM pg_locks WHERE relation = 'trunkline._sqlx_migrations'::regclass AND NOT granted";
    let hold = async {
        until(&database, waiting, "1").await;
        until(&database, waiting, "0").await;
        run(&mut holder, "COMMIT").await;
    };
    let (migrated, ()) = tokio::join!(migrate(&mut migrating, 7, 1), hold);
    migrated.unwrap();
    assert_eq!(state(&mut holder).await.unwrap(), SchemaState::Current);
}

async fn until(database: &TestDatabase, question: &str, answer: &str) {
    let look = || async { (database.text(question).await == answer).then_some(()) };
    eventually(question, look).await;
}

/// What a newer release's `trunkline migrate` leaves behind.
async fn remember(database: &TestDatabase, version: i64, description: &str) {
    let row = format!("({version}, '{description}', true, '', 0)");
    let columns = "(version, description, success, checksum, execution_time)";
    database.execute(&format!("INSERT INTO trunkline._sqlx_migrations {columns} VALUES {row}")).await;
}
