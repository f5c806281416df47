//! A database of many machines: what Citus could not route must not come into the statements, nor into the tables. There is no Citus
//! here; its rules are in `judge`, and a stand-in records what it is asked for.

mod judge;
mod stand_in;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use judge::{Place, Schema, concerns, faults};
use trunkline_store::citus::{DISTRIBUTED, FUNCTIONS, READING_FUNCTIONS, REFERENCE};
use trunkline_testkit::TestDatabase;

/// Statements that Citus cannot send to one node, by words that no other has, and why that may be.
const EXEMPT: &[(&str, &str)] = &[
    (
        "AS \"due!\", min(due_at) AS oldest_due_at",
        "`doctor` asks: Citus reads some rows of every shard and counts them itself",
    ),
    (
        "FROM trunkline.restore_holds) AS \"held_endpoints!\"",
        "`restore show`: a cluster is not restored by it, docs/OPERATIONS.md",
    ),
];

/// Files of the store with SQL that the compiler does not check, which so is not in .sqlx. None of it is on the way of an event.
const UNCHECKED: [&str; 6] =
    ["citus.rs", "connection.rs", "retention/partition.rs", "roles.rs", "roles/rights.rs", "schema.rs"];

/// Every statement of the store, as the compiler has found them.
fn statements() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.sqlx");
    let files = fs::read_dir(folder).unwrap().map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
    let text = |file: String| {
        serde_json::from_str::<serde_json::Value>(&file).unwrap()["query"].as_str().unwrap().to_owned()
    };
    files.map(text).collect()
}

async fn schema(database: &TestDatabase) -> Schema {
    let list = async |sql: &str| -> Vec<String> {
        database.text(sql).await.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()
    };
    let place = |table: &str| {
        if DISTRIBUTED.contains(&table) {
            Place::Distributed
        } else if REFERENCE.contains(&table) {
            Place::Reference
        } else {
            Place::Local
        }
    };
    let tables = list(
        "SELECT string_agg(relname, ' ') FROM pg_class
         WHERE relnamespace = 'trunkline'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition",
    );
    let mut places: BTreeMap<String, Place> =
        tables.await.into_iter().map(|table| (table.clone(), place(&table))).collect();
    // A view is what it reads.
    let views = list(
        "SELECT string_agg(DISTINCT view_name || '=' || table_name, ' ') FROM information_schema.view_table_usage
         WHERE view_schema = 'trunkline' AND table_schema = 'trunkline'",
    );
    for pair in views.await {
        let (view, table) = pair.split_once('=').unwrap();
        let known = places.entry(view.to_owned()).or_insert(Place::Reference);
        if *known == Place::Reference {
            *known = place(table);
        }
    }
    let functions = list(
        "SELECT string_agg(proname || '=' || worst, ' ') FROM (
             SELECT proname, max(provolatile::text) AS worst FROM pg_proc
             WHERE pronamespace IN ('trunkline'::regnamespace, 'pg_catalog'::regnamespace) GROUP BY proname) AS f",
    );
    let volatility = functions.await.into_iter().filter_map(|pair| {
        let (name, class) = pair.split_once('=')?;
        Some((name.to_owned(), class.chars().next()?))
    });
    let enums = list(
        "SELECT string_agg(typname, ' ') FROM pg_type WHERE typnamespace = 'trunkline'::regnamespace AND typtype = 'e'",
    );
    let name = |function: &&str| function.split('(').next().unwrap().to_owned();
    Schema {
        places,
        volatility: volatility.collect(),
        enums: enums.await.into_iter().collect(),
        spread: FUNCTIONS.iter().chain(&READING_FUNCTIONS).map(name).collect::<BTreeSet<_>>(),
    }
}

#[tokio::test]
async fn every_statement_on_distributed_tables_goes_to_one_node() {
    let database = TestDatabase::new().await;
    let schema = schema(&database).await;
    let statements: Vec<String> = statements().into_iter().filter(|sql| concerns(&schema, sql)).collect();
    assert!(statements.len() > 60, "only {} statements were found", statements.len());
    let mut told = Vec::new();
    for sql in &statements {
        let found = faults(&schema, sql);
        let exempt: Vec<_> = EXEMPT.iter().filter(|(words, _)| sql.contains(words)).collect();
        match (found.is_empty(), exempt.is_empty()) {
            (false, true) => told.push(format!("{}\n{sql}", found.join("\n"))),
            (true, false) => told.push(format!("needs no exemption any more: {}", exempt[0].0)),
            _ => {}
        }
    }
    for (words, _) in EXEMPT {
        assert_eq!(statements.iter().filter(|sql| sql.contains(words)).count(), 1, "exempt: {words}");
    }
    assert!(told.is_empty(), "{} statements that Citus would refuse:\n\n{}", told.len(), told.join("\n\n"));
}

/// A judge that finds nothing finds nothing in these either.
#[tokio::test]
async fn the_judge_finds_each_fault() {
    let database = TestDatabase::new().await;
    let schema = schema(&database).await;
    let sound = "UPDATE trunkline.deliveries AS d SET lease = NULL FROM unnest($1::smallint[]) AS c (lane)
                 WHERE d.lane = c.lane AND ($2::smallint[] IS NULL OR d.lane = ANY($2))";
    assert_eq!(faults(&schema, sound), Vec::<String>::new());
    let broken = [
        (
            "SELECT FROM trunkline.deliveries AS d, unnest($1::smallint[]) AS w (lane) WHERE d.lane = w.lane",
            "does not say which lanes",
        ),
        (
            "SELECT FROM trunkline.deliveries WHERE lane = ANY($1) OR due_at IS NULL",
            "does not say which lanes",
        ),
        (
            "SELECT FROM trunkline.events AS e JOIN trunkline.payloads AS p ON p.lane = e.lane WHERE e.lane = $1",
            "payloads AS p does not",
        ),
        (
            "SELECT FROM trunkline.events WHERE lane = $1 AND EXISTS (SELECT FROM trunkline.attempts AS a WHERE a.event_id = $2)",
            "attempts AS a does not",
        ),
        (
            "SELECT FROM trunkline.events AS e, trunkline.payloads AS p WHERE e.lane = $1 AND p.lane = $2",
            "several parameters",
        ),
        (
            "SELECT FROM trunkline.events WHERE lane = $1 AND EXISTS (SELECT FROM trunkline.workers)",
            "workers lies on the coordinator",
        ),
        (
            "WITH f AS (SELECT FROM trunkline.deliveries LIMIT 1 FOR UPDATE SKIP LOCKED) SELECT FROM f",
            "does not say which lanes",
        ),
        (
            "UPDATE trunkline.deliveries SET due_at = clock_timestamp() WHERE lane = $1",
            "whose volatility is v",
        ),
        ("DELETE FROM trunkline.deliveries WHERE lane = $1 AND random() > 0.5", "whose volatility is v"),
        (
            "UPDATE trunkline.deliveries SET status = last_error::trunkline.delivery_status WHERE lane = $1",
            "is not immutable",
        ),
        ("UPDATE trunkline.deliveries SET lane = 7 WHERE lane = $1", "changes the lane"),
        (
            "UPDATE trunkline.endpoints SET cleared = true WHERE NOT EXISTS (SELECT FROM trunkline.deliveries WHERE lane = $1)",
            "by what lies on one",
        ),
        (
            "WITH w AS (INSERT INTO trunkline.attempts (lane) SELECT lane FROM unnest($1::smallint[]) AS n (lane)) SELECT 1",
            "copied past row security",
        ),
        ("INSERT INTO trunkline.attempts (tenant_id) VALUES ('acme')", "without its lane"),
        (
            "SELECT trunkline.uuid_v7() FROM trunkline.events WHERE lane = $1",
            "the nodes do not have trunkline.uuid_v7",
        ),
    ];
    for (sql, fault) in broken {
        let found = faults(&schema, sql);
        assert!(
            found.iter().any(|one| one.contains(fault)),
            "{sql}\nshould be refused ({fault}), found: {found:?}"
        );
    }
}

/// What is not in .sqlx the first test cannot see.
#[test]
fn no_other_file_has_sql_that_nobody_checks() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let calls = ["raw_sql(", "sqlx::query(", "query_as(", "query_scalar(", "QueryBuilder"];
            if calls.iter().any(|call| text.contains(call)) {
                found.push(path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    assert_eq!(found, UNCHECKED);
}

#[tokio::test]
async fn distributed_tables_are_as_citus_wants_them() {
    let database = TestDatabase::new().await;
    let tables = DISTRIBUTED.map(|table| format!("'trunkline.{table}'::regclass")).join(", ");
    let keys_without_lane = format!(
        "SELECT string_agg(i.indexrelid::regclass::text, ' ') FROM pg_index AS i
         WHERE i.indisunique AND i.indrelid IN ({tables})
           AND NOT EXISTS (SELECT FROM pg_attribute AS a
                           WHERE a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey) AND a.attname = 'lane')"
    );
    let without_key = format!(
        "SELECT string_agg(t::regclass::text, ' ') FROM unnest(ARRAY[{tables}]) AS t
         WHERE NOT EXISTS (SELECT FROM pg_index WHERE indrelid = t AND indisprimary)
            OR NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = t AND attname = 'lane' AND atttypid = 'smallint'::regtype AND attnotnull)"
    );
    let triggers = format!(
        "SELECT string_agg(tgname, ' ') FROM pg_trigger WHERE tgrelid IN ({tables}) AND NOT tgisinternal"
    );
    let foreign_keys = format!(
        "SELECT string_agg(conname, ' ') FROM pg_constraint WHERE contype = 'f' AND (conrelid IN ({tables}) OR confrelid IN ({tables}))"
    );
    for question in [keys_without_lane, without_key, triggers, foreign_keys] {
        assert_eq!(database.text(&question).await, "", "{question}");
    }
}
