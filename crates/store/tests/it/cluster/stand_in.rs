//! The command's order, its refusals, and statements that run once for each shard. Nothing here tells what a real Citus does.

use std::collections::BTreeSet;

use chrono::{DateTime, Duration};
use trunkline_domain::AttemptOutcome;
use trunkline_store::citus::{self, DISTRIBUTED, DistributeError, REFERENCE, distribute, standing};
use trunkline_store::deliveries::{
    self, ClaimTerms, Claimed, EndedAttempt, GivenBack, Lease, NextStep, Places, Wanted,
};
use trunkline_store::events::IdRange;
use trunkline_store::retention::{self, HistoryTable, Standing};
use trunkline_store::{Purpose, roles, time};
use trunkline_testkit::{SeededTenant, TestDatabase, publish, seed_tenant, settings};

/// A database whose server says that it has loaded Citus.
async fn loaded() -> TestDatabase {
    let database = TestDatabase::new().await;
    let name = database.text("SELECT current_database()").await;
    database.execute(&format!("ALTER DATABASE {name} SET citus.shard_count = '32'")).await;
    database
}

async fn with_stand_in() -> TestDatabase {
    let database = loaded().await;
    let mut connection = database.connect().await;
    trunkline_testkit::run(&mut connection, include_str!("stand_in.sql")).await;
    database
}

async fn refusal(database: &TestDatabase) -> String {
    let mut connection = database.connect().await;
    match distribute(&mut connection, 16).await {
        Err(DistributeError::NotReady(why)) => why,
        other => panic!("it should have refused: {other:?}"),
    }
}

#[tokio::test]
async fn what_is_no_cluster_is_refused_with_what_to_do() {
    let plain = TestDatabase::new().await;
    assert!(refusal(&plain).await.contains("shared_preload_libraries"));
    assert!(!citus::is_distributed(&mut plain.connect().await).await.unwrap());
    assert!(refusal(&loaded().await).await.contains("CREATE EXTENSION citus"));

    let database = with_stand_in().await;
    let steps = [
        (
            "UPDATE pg_extension SET extversion = '12.1-1' WHERE extname = 'citus'",
            "ALTER EXTENSION citus UPDATE",
        ),
        (
            "UPDATE pg_extension SET extversion = '13.2-1' WHERE extname = 'citus'; UPDATE pg_dist_local_group SET groupid = 3",
            "not its coordinator",
        ),
        (
            "UPDATE pg_dist_local_group SET groupid = 0; UPDATE pg_dist_node SET groupid = 9 WHERE groupid = 0",
            "citus_set_coordinator_host",
        ),
        (
            "UPDATE pg_dist_node SET groupid = 0 WHERE groupid = 9; UPDATE pg_dist_node SET isactive = false",
            "citus_add_node",
        ),
    ];
    for (change, advice) in steps {
        database.execute(change).await;
        let told = refusal(&database).await;
        assert!(told.contains(advice), "{advice}: {told}");
    }
    assert_eq!(database.text("SELECT count(*)::text FROM public.asked").await, "0", "nothing was begun");
}

#[tokio::test]
async fn tables_are_distributed_once_and_in_an_order_that_can_be_gone_on_from() {
    let database = with_stand_in().await;
    seed_tenant(&database, &settings(&database), "acme", "http://127.0.0.1:9/").await;
    let mut connection = database.connect().await;
    distribute(&mut connection, 16).await.unwrap();
    let asked = "SELECT string_agg(call, '|' ORDER BY number) FROM public.asked";
    let mut expected: Vec<String> = REFERENCE.map(|table| format!("reference {table}")).into();
    expected.push("distributed events lane none 16".to_owned());
    expected
        .extend(DISTRIBUTED[1..].iter().map(|table| format!("distributed {table} lane trunkline.events")));
    assert_eq!(database.text(asked).await.split('|').collect::<Vec<_>>(), expected);

    assert!(citus::is_distributed(&mut connection).await.unwrap());
    assert_eq!(
        distribute(&mut connection, 32).await.unwrap(),
        Vec::<String>::new(),
        "a second time changes nothing"
    );
    assert_eq!(roles::differences(&mut connection).await.unwrap(), [], "whole tables where columns were");
    assert_eq!(
        roles::unheld(&mut connection).await.unwrap(),
        Vec::<String>::new(),
        "row security is forced again"
    );
    assert_eq!(roles::misheld(&mut connection).await.unwrap(), Vec::<String>::new(), "and by these policies");
    let found = standing(&mut connection).await.unwrap();
    assert_eq!((found.shards, found.lanes_max, found.unplaced, found.nodes), (4, 16, 0, 2));
    assert!(
        found.astray.is_empty() && found.partitions_astray.is_empty() && found.roles_astray.is_empty(),
        "{found:?}"
    );

    // As a migration leaves it that made a table of the list.
    database
        .execute("DELETE FROM pg_dist_partition WHERE logicalrelid = 'trunkline.erasures'::regclass")
        .await;
    database.execute("ALTER TABLE trunkline.erasures NO FORCE ROW LEVEL SECURITY").await;
    assert_eq!(standing(&mut connection).await.unwrap().astray, ["erasures is not distributed by lane"]);
    assert_eq!(distribute(&mut connection, 16).await.unwrap(), ["erasures is distributed by lane"]);
}

/// Tenants in so many lanes that every shard has some.
async fn tenants(database: &TestDatabase) -> Vec<SeededTenant> {
    let mut tenants = Vec::new();
    for name in ["one", "two", "three", "four", "five", "six", "seven", "eight"] {
        tenants.push(seed_tenant(database, &settings(database), name, "http://127.0.0.1:9/").await);
    }
    let shards: BTreeSet<i16> = tenants.iter().map(|tenant| tenant.lane.number() % 4).collect();
    assert!(shards.len() > 1, "tenants lie in several shards");
    tenants
}

#[tokio::test]
async fn what_is_about_many_lanes_finds_the_same_shard_by_shard() {
    let database = with_stand_in().await;
    distribute(&mut database.connect().await, 16).await.unwrap();
    let tenants = tenants(&database).await;
    let mut published = Vec::new();
    for tenant in &tenants {
        published.push(publish(&database, tenant, r#"{"n":1}"#).await);
    }
    let pool = database.pool(Purpose::Engine);
    let mut connection = pool.acquire().await.unwrap();
    let now = time::now(&mut connection).await.unwrap();
    let lanes: Vec<_> =
        tenants.iter().map(|tenant| tenant.lane).collect::<BTreeSet<_>>().into_iter().collect();
    let active = deliveries::active_endpoints(&mut connection, &lanes, &Places::new(), IdRange::ALL, 100)
        .await
        .unwrap();
    assert_eq!(active.len(), tenants.len());
    assert!(deliveries::oldest_open(&mut connection).await.unwrap().is_some());

    let wanted: Vec<Wanted> = tenants
        .iter()
        .map(|tenant| Wanted {
            lane: tenant.lane,
            endpoint_id: tenant.endpoint_id,
            deliveries_max: 5,
            only_expedited: false,
            due_from: DateTime::UNIX_EPOCH,
        })
        .collect();
    let terms = |lease| ClaimTerms {
        lease: Lease(lease),
        now,
        leased_until: now + Duration::seconds(30),
        range: IdRange::ALL,
        dead: &[],
    };
    let claimed = deliveries::claim(&mut connection, &wanted, terms(1)).await.unwrap();
    let mut ids: Vec<_> = claimed.iter().map(|one| one.key.event_id).collect();
    ids.sort();
    assert_eq!(ids, published);
    assert!(claimed.iter().all(|one| one.payload.is_some()));
    let back = |one: &Claimed| GivenBack { key: one.key.clone(), lease: one.lease, retry_at: None };
    let back: Vec<_> = claimed.iter().map(back).collect();
    assert_eq!(deliveries::give_back(&mut connection, &back).await.unwrap(), tenants.len());

    let claimed = deliveries::claim(&mut connection, &wanted, terms(2)).await.unwrap();
    let ended: Vec<EndedAttempt> = claimed
        .iter()
        .map(|one| EndedAttempt {
            key: one.key.clone(),
            lease: one.lease,
            attempt: one.attempt,
            started_at: now,
            duration_ms: 3,
            status_code: Some(200),
            outcome: AttemptOutcome::Succeeded,
            error: None,
            response_excerpt: Vec::new(),
            response_headers: None,
            url: "http://127.0.0.1:9/".to_owned(),
            next: NextStep::Delivered,
            ordering_key: None,
        })
        .collect();
    let ended: Vec<&EndedAttempt> = ended.iter().collect();
    let mut written = deliveries::record(&mut connection, &ended, "test", now).await.unwrap();
    written.sort_unstable();
    assert_eq!(written, (0..tenants.len()).collect::<Vec<_>>(), "each once, whichever shard it lies in");
    let delivered =
        "SELECT count(*)::text FROM trunkline.deliveries WHERE status = 'DELIVERED' AND attempts = 1";
    assert_eq!(database.text(delivered).await, tenants.len().to_string());
    assert_eq!(
        database.text("SELECT count(*)::text FROM trunkline.attempts").await,
        tenants.len().to_string()
    );
    assert_eq!(deliveries::oldest_open(&mut connection).await.unwrap(), None);
    assert!(retention::expire(&mut connection, published[0].as_uuid(), now, 10).await.unwrap().is_empty());
}

/// Citus refuses CONCURRENTLY; what takes its place gives up when somebody uses the table, and can be tried again.
#[tokio::test]
async fn a_partition_is_detached_in_a_transaction_that_waits_for_nobody_for_long() {
    let database = with_stand_in().await;
    let mut connection = database.connect().await;
    distribute(&mut connection, 16).await.unwrap();
    let day =
        database.text("SELECT min(from_day)::text FROM trunkline.history_partitions").await.parse().unwrap();
    let mut reader = database.connect().await;
    trunkline_testkit::run(&mut reader, "BEGIN; SELECT count(*) FROM trunkline.payloads").await;
    let refused = retention::detach(&mut connection, HistoryTable::Payloads, day).await.unwrap_err();
    assert!(refused.retry_after().is_some(), "{refused}");
    trunkline_testkit::run(&mut reader, "ROLLBACK").await;
    retention::detach(&mut connection, HistoryTable::Payloads, day).await.unwrap();
    assert_eq!(
        retention::standing(&mut connection, HistoryTable::Payloads, day).await.unwrap(),
        Standing::Detached
    );
}
