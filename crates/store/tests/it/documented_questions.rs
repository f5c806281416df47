//! The twenty questions of docs/DATA_MODEL.md: each is asked as it stands there, of the history that bench/history makes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde_json::Value;
use trunkline_store::PgConnection;
use trunkline_testkit::{TestDatabase, run, text};

const DATA_MODEL: &str = include_str!("../../../../docs/DATA_MODEL.md");
const FILL: &str = include_str!("../../../../bench/history/fill.sql");

/// Small, and with as many days as it takes to tell a week from all.
const EVENTS: &str = "20000";
const DAYS: &str = "10";

/// The headings and their statements.
static QUESTIONS: LazyLock<Vec<(&str, &str)>> = LazyLock::new(|| {
    let sections = DATA_MODEL.split("\n### Q").skip(1);
    sections
        .map(|section| {
            let (heading, rest) = section.split_once('\n').unwrap();
            let (_, rest) = rest.split_once("```sql\n").unwrap_or_else(|| panic!("Q{heading} has no query"));
            (heading, rest.split_once("\n```").unwrap().0.trim_end_matches(';'))
        })
        .collect()
});

#[tokio::test]
async fn every_documented_question_is_answered_without_reading_a_whole_history() {
    assert_eq!(QUESTIONS.len(), 20);
    let database = TestDatabase::new().await;
    let mut connection = database.connect().await;
    fill(&mut connection).await;
    // The rights a DBA's reader has, and nothing more.
    database.execute("CREATE ROLE questions_dba LOGIN; GRANT trunkline_reader TO questions_dba").await;
    database
        .execute(
            "CREATE ROLE questions_acme LOGIN; SELECT trunkline.bind_reader('questions_acme', 'tenant-000')",
        )
        .await;
    let event =
        database.text("SELECT event_id FROM trunkline.events WHERE tenant_id = 'tenant-000' LIMIT 1").await;
    let partial = database
        .text("SELECT string_agg(indexrelid::regclass::text, ' ') FROM pg_index WHERE indpred IS NOT NULL")
        .await
        .replace("trunkline.", "");
    let partial: BTreeSet<&str> = partial.split(' ').collect();
    for role in ["questions_dba", "questions_acme"] {
        run(&mut connection, &format!("SET SESSION AUTHORIZATION {role}")).await;
        for (heading, query) in QUESTIONS.iter() {
            // The sizes of partitions are of all tenants together: no customer's.
            if role == "questions_acme" && query.contains("trunkline_read.partitions") {
                continue;
            }
            let query =
                query.replace("acme", "tenant-000").replace("01a20ada-2c00-7abc-8123-456789abcdef", &event);
            let plan = plan_of(&mut connection, &query).await;
            let mut read = BTreeMap::new();
            read_in_full(&plan, &partial, &mut read);
            for (table, partitions) in read {
                assert!(
                    partitions.len() < DAYS.parse::<usize>().unwrap(),
                    "Q{heading} reads all of {table} as {role}: {partitions:?}\n{plan:#}"
                );
            }
        }
    }
}

/// A question that reads everything must be told from one that does not.
#[tokio::test]
async fn a_question_without_a_time_is_seen_to_read_a_whole_history() {
    let database = TestDatabase::new().await;
    let mut connection = database.connect().await;
    fill(&mut connection).await;
    let careless = "SELECT count(*) FROM trunkline_read.events WHERE created_at > now() - interval '1 hour'";
    let plan = plan_of(&mut connection, careless).await;
    let mut read = BTreeMap::new();
    read_in_full(&plan, &BTreeSet::new(), &mut read);
    assert!(read["events"].len() >= 10, "{read:?}");
}

/// Runs bench/history/fill.sql as psql would: statement by statement, since it commits day by day.
async fn fill(connection: &mut PgConnection) {
    let script: String = FILL
        .lines()
        .filter(|line| !line.starts_with('\\') && !line.starts_with("--"))
        .collect::<Vec<_>>()
        .join("\n");
    let script = script.replace(":events", EVENTS).replace(":days", DAYS);
    let mut statement = String::new();
    for piece in script.split_inclusive(";\n") {
        statement.push_str(piece);
        // A body between dollars holds semicolons of its own.
        if statement.matches("$$").count().is_multiple_of(2) {
            run(connection, &std::mem::take(&mut statement)).await;
        }
    }
    run(connection, &statement).await;
}

async fn plan_of(connection: &mut PgConnection, query: &str) -> Value {
    let explain = format!(
        "CREATE FUNCTION pg_temp.plan() RETURNS text LANGUAGE plpgsql AS $plan$
         DECLARE plan json;
         BEGIN
             EXECUTE $query$EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {query}$query$ INTO plan;
             RETURN plan;
         END $plan$"
    );
    run(connection, &explain).await;
    let plan = text(connection, "SELECT pg_temp.plan()").await;
    run(connection, "DROP FUNCTION pg_temp.plan()").await;
    serde_json::from_str(&plan).unwrap()
}

/// Gathers, by table of history, the partitions of which a plan read every row: by a sequential scan, or along a whole index
/// that is not a partial one.
fn read_in_full<'a>(
    node: &'a Value,
    partial: &BTreeSet<&str>,
    found: &mut BTreeMap<&'a str, BTreeSet<&'a str>>,
) {
    match node {
        Value::Array(nodes) => nodes.iter().for_each(|node| read_in_full(node, partial, found)),
        Value::Object(fields) => {
            let word = |name: &str| fields.get(name).and_then(Value::as_str);
            let ran = fields.get("Actual Loops").and_then(Value::as_f64).unwrap_or(0.0) > 0.0;
            if let (true, Some(partition)) = (ran, word("Relation Name")) {
                let whole = match word("Node Type").unwrap() {
                    "Seq Scan" => true,
                    "Index Scan" | "Index Only Scan" => {
                        word("Index Cond").is_none() && !partial.contains(word("Index Name").unwrap())
                    }
                    _ => false,
                };
                let is_day = |day: &str| day.len() == 8 && day.bytes().all(|byte| byte.is_ascii_digit());
                if let Some((table, _)) = partition.split_once('_').filter(|(_, day)| whole && is_day(day)) {
                    found.entry(table).or_default().insert(partition);
                }
            }
            fields.values().for_each(|inner| read_in_full(inner, partial, found));
        }
        _ => {}
    }
}
