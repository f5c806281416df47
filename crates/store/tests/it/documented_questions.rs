//! The twenty questions of docs/DATA_MODEL.md: each is asked as it stands there, of the history that bench/history makes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde_json::Value;
use trunkline_store::Connection;
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
    let rows = rows_of_partitions(&mut connection).await;
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
            for (table, partitions) in read_in_full(&plan, &rows) {
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
    let read = read_in_full(&plan, &rows_of_partitions(&mut connection).await);
    assert!(read["events"].len() >= 10, "{read:?}");
}

/// Runs bench/history/fill.sql as psql would: statement by statement, since it commits day by day.
async fn fill(connection: &mut Connection) {
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

async fn plan_of(connection: &mut Connection, query: &str) -> Value {
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

/// How many rows the partitions of history have that have any.
async fn rows_of_partitions(connection: &mut Connection) -> BTreeMap<String, f64> {
    let counts = "SELECT json_object_agg(relname, reltuples)::text FROM pg_class
                  WHERE relispartition AND relkind = 'r' AND reltuples > 0";
    serde_json::from_str(&text(connection, counts).await).unwrap()
}

/// The partitions, by table, of which a plan touched at least half of the rows, whichever way: as a whole, or bit by bit through an
/// index for one tenant after the other.
fn read_in_full(plan: &Value, rows: &BTreeMap<String, f64>) -> BTreeMap<String, BTreeSet<String>> {
    let mut touched = BTreeMap::new();
    count(plan, &mut touched);
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (partition, touched) in touched {
        if rows.get(&partition).is_some_and(|rows| touched >= rows / 2.0) {
            let table = partition.split('_').next().unwrap().to_owned();
            found.entry(table).or_default().insert(partition);
        }
    }
    found
}

fn count(node: &Value, touched: &mut BTreeMap<String, f64>) {
    match node {
        Value::Array(nodes) => nodes.iter().for_each(|node| count(node, touched)),
        Value::Object(fields) => {
            let number = |name: &str| fields.get(name).and_then(Value::as_f64).unwrap_or(0.0);
            if let Some(partition) = fields.get("Relation Name").and_then(Value::as_str) {
                let a_loop = number("Actual Rows") + number("Rows Removed by Filter");
                *touched.entry(partition.to_owned()).or_default() += a_loop * number("Actual Loops");
            }
            fields.values().for_each(|inner| count(inner, touched));
        }
        _ => {}
    }
}
