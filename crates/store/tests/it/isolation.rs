//! Row security holds where a statement forgets its tenant: every statement of this crate that reads is run without its filter.

use serde_json::Value;
use trunkline_store::roles::RIGHTS;
use trunkline_store::{Connection, Role};
use trunkline_testkit::{TestDatabase, run, try_text};

/// What every tenant has a row in; the order in which rows may be removed.
const TABLES: [&str; 15] = [
    "audit",
    "receipts",
    "erasures",
    "replays",
    "event_types",
    "ordering_keys",
    "idempotency_keys",
    "attempts",
    "deliveries",
    "payloads",
    "events",
    "endpoint_secrets",
    "endpoints",
    "api_keys",
    "tenants",
];

/// Combinations of arguments tried with one statement before it counts as one that shows nothing.
const TRIES_MAX: usize = 3_000;

/// Statements that read tenants' rows; fewer, and this test has lost some of them.
const PROVEN_MIN: usize = 50;

struct Scene {
    connection: Connection,
    /// The ids of `globex`, whose rows must not be seen.
    one: String,
    two: String,
}

impl Scene {
    async fn new() -> Self {
        let database = TestDatabase::new().await;
        let mut ids = Vec::new();
        for (tenant, lane) in [("acme", "5"), ("globex", "7")] {
            let pair = [id(&database).await, id(&database).await];
            database.execute(&filled(tenant, lane, &pair)).await;
            ids = pair.to_vec();
        }
        // Whether there is any filter is a question too: acme has none.
        database
            .execute("UPDATE trunkline.endpoints SET payload_filter = NULL WHERE tenant_id = 'acme'")
            .await;
        let (two, one) = (ids.pop().unwrap(), ids.pop().unwrap());
        Self { connection: database.connect().await, one, two }
    }

    /// All rows of a statement as JSON, after `before` in the same transaction, which is rolled back; or what the server says.
    async fn rows(&mut self, before: &str, sql: &str) -> Result<String, String> {
        run(&mut self.connection, "BEGIN").await;
        if !before.is_empty() {
            run(&mut self.connection, before).await;
        }
        let rows = format!("SELECT json_agg(t)::text FROM ({sql}) AS t");
        let found = try_text(&mut self.connection, &rows).await;
        run(&mut self.connection, "ROLLBACK").await;
        found
    }

    /// Values for a parameter of that type, of `globex` where it can be; `None` = this test does not know the type.
    fn values(&self, kind: &str) -> Option<Vec<String>> {
        let (one, two) = (self.one.as_str(), self.two.as_str());
        let (lowest, highest) =
            ("00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff");
        let values: Vec<String> = match kind {
            "Text" => vec!["'globex'::text".into(), "NULL::text".into(), "'FAILED'::text".into()],
            "Uuid" => [one, two, lowest, highest].map(|id| format!("'{id}'::uuid")).to_vec(),
            "Timestamptz" => {
                ["2100-01-01", "2000-01-01"].map(|time| format!("'{time}'::timestamptz")).to_vec()
            }
            "Date" => vec!["'2026-01-01'::date".into()],
            "Interval" => vec!["'1 day'::interval".into()],
            "Int2" => vec!["7::smallint".into()],
            "Int4" => vec!["100::integer".into()],
            "Int8" => vec!["100::bigint".into()],
            "Bool" => vec!["true".into(), "false".into()],
            "Bytea" => vec!["sha256('globex')".into()],
            "TextArray" => vec!["'{globex,globex}'::text[]".into()],
            "NameArray" => vec!["'{globex}'::name[]".into()],
            "UuidArray" => [(one, two), (one, one), (lowest, lowest), (highest, highest)]
                .map(|(first, second)| format!("'{{{first},{second}}}'::uuid[]"))
                .to_vec(),
            "TimestamptzArray" => ["2000-01-01", "2100-01-01"]
                .map(|time| format!("'{{{time},{time}}}'::timestamptz[]"))
                .to_vec(),
            "Int2Array" => vec!["'{7,7}'::smallint[]".into()],
            "Int4Array" => vec!["'{100,100}'::integer[]".into()],
            "Int8Array" => vec!["'{100,100}'::bigint[]".into()],
            "BoolArray" => vec!["'{true,true}'::boolean[]".into()],
            "ByteaArray" => vec!["ARRAY[sha256('globex'), sha256('globex')]".into()],
            _ => return None,
        };
        Some(values)
    }
}

async fn id(database: &TestDatabase) -> String {
    database.text("SELECT trunkline.uuid_v7()::text").await
}

fn filled(tenant: &str, lane: &str, [one, two]: &[String; 2]) -> String {
    include_str!("isolation.sql")
        .replace(":tenant", tenant)
        .replace(":lane", lane)
        .replace(":one", one)
        .replace(":two", two)
}

fn as_acme() -> String {
    format!("SET LOCAL ROLE {}; SET LOCAL trunkline.tenant_id = 'acme'", Role::Api.name())
}

fn without_globex() -> String {
    let deletes = TABLES.map(|table| format!("DELETE FROM trunkline.{table} WHERE tenant_id = 'globex';"));
    format!("{} DELETE FROM trunkline.receptions WHERE scope = 'globex'", deletes.concat())
}

/// A statement of this crate as its metadata has it, and the types of its parameters.
struct Statement {
    sql: String,
    kinds: Vec<String>,
}

/// Every statement that reads a table of ours and writes none. The metadata is made from the source, and a build fails without it.
fn reads() -> Vec<Statement> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.sqlx");
    let mut found = Vec::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let metadata: Value = serde_json::from_slice(&std::fs::read(file.unwrap().path()).unwrap()).unwrap();
        let lines = metadata["query"].as_str().unwrap().lines();
        let sql = lines.map(|line| line.split("--").next().unwrap()).collect::<Vec<_>>().join("\n");
        let writes = ["INSERT INTO", "UPDATE trunkline", "DELETE FROM", "create_partitions"];
        // What is in the catalogue is no tenant's.
        let is_ours = sql.contains("trunkline.") && !sql.contains("FROM pg_policies");
        if is_ours && !writes.iter().any(|word| sql.contains(word)) {
            let kinds = metadata["describe"]["parameters"]["Left"].as_array().unwrap();
            let kinds = kinds.iter().map(|kind| kind.as_str().unwrap_or("other").to_owned()).collect();
            found.push(Statement { sql, kinds });
        }
    }
    found.sort_by(|one, other| one.sql.cmp(&other.sql));
    found
}

/// The statement with `tenant_id = $n` replaced by `true`, and whether there was any.
fn forgetful(sql: &str) -> (String, bool) {
    const FILTER: &str = "tenant_id = $";
    let mut rest = sql;
    let mut forgetful = String::new();
    while let Some(at) = rest.find(FILTER) {
        let before = &rest[..at];
        // An alias before it goes too.
        let alias = before
            .trim_end_matches(|letter: char| letter.is_alphanumeric() || letter == '_' || letter == '.');
        forgetful.push_str(alias);
        forgetful.push_str("true");
        rest = rest[at + FILTER.len()..].trim_start_matches(|digit: char| digit.is_ascii_digit());
    }
    forgetful.push_str(rest);
    let is_changed = forgetful != sql;
    (forgetful, is_changed)
}

/// The statement with values for its parameters; the last first, so that `$1` is not found in `$10`.
fn with_values(sql: &str, values: &[&String]) -> String {
    let numbered = values.iter().enumerate().rev();
    numbered.fold(sql.to_owned(), |sql, (index, value)| {
        sql.replace(&format!("${}", index + 1), &format!("({value})"))
    })
}

/// What came of a statement.
#[derive(Debug, PartialEq)]
enum Verdict {
    /// Without row security it shows rows of another tenant, with it none.
    Held,
    /// The api may not run it at all.
    Refused,
    /// No arguments were found with which it would show another tenant's rows.
    ShowsNothing,
}

async fn judge(scene: &mut Scene, sql: &str, kinds: &[String]) -> Verdict {
    let choices: Vec<Vec<String>> = kinds
        .iter()
        .map(|kind| {
            scene.values(kind).unwrap_or_else(|| panic!("{kind} is a new type for this test, in {sql}"))
        })
        .enumerate()
        // What is named no more needs one value only.
        .map(|(index, values)| {
            let name = format!("${}", index + 1);
            let is_used =
                sql.split(&name).skip(1).any(|rest| !rest.starts_with(|next: char| next.is_ascii_digit()));
            if is_used { values } else { values[..1].to_vec() }
        })
        .collect();
    let combinations = choices.iter().map(Vec::len).product::<usize>().min(TRIES_MAX);
    for mut number in 0..combinations {
        let mut values = Vec::new();
        for choice in &choices {
            values.push(&choice[number % choice.len()]);
            number /= choice.len();
        }
        let asked = with_values(sql, &values);
        // Arguments that no caller could give, such as a tenant's name for a status.
        let Ok(unheld) = scene.rows("", &asked).await else { continue };
        let held = match scene.rows(&as_acme(), &asked).await {
            Err(error) if error.contains("permission denied") => return Verdict::Refused,
            held => held.unwrap(),
        };
        if unheld.is_empty() && held.is_empty() {
            continue;
        }
        let alone = scene.rows(&without_globex(), &asked).await.unwrap();
        assert_eq!(held, alone, "another tenant shows in what acme reads by {asked}");
        if unheld != alone {
            return Verdict::Held;
        }
    }
    Verdict::ShowsNothing
}

#[tokio::test]
async fn a_read_that_forgets_its_tenant_shows_no_other() {
    let mut scene = Scene::new().await;
    let mut held = 0;
    for Statement { sql, kinds } in reads() {
        let (forgetful, had_filter) = forgetful(&sql);
        match judge(&mut scene, &forgetful, &kinds).await {
            Verdict::Held => held += 1,
            Verdict::Refused => {}
            // What names no tenant may be about none.
            Verdict::ShowsNothing => assert!(!had_filter, "this test does not reach {sql}"),
        }
    }
    assert!(held >= PROVEN_MIN, "only {held} statements were shown to be held");
}

#[tokio::test]
async fn every_statement_is_in_the_metadata_that_this_test_reads() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
    let mut folders = vec![std::path::PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            // Functions, not macros: put together at run time, and in no metadata.
            let unchecked = [
                "sqlx::query(",
                "sqlx::query_as(",
                "sqlx::query_as::",
                "sqlx::query_scalar(",
                "QueryBuilder",
            ];
            let count: usize = unchecked.iter().map(|word| text.matches(word).count()).sum();
            // The list of migrations, and how long one waits for a lock; what only a cluster's catalogue has. None is about a tenant.
            let allowed = match path.file_name().and_then(|name| name.to_str()) {
                Some("schema.rs") => 2,
                Some("citus.rs") => 5,
                _ => 0,
            };
            assert_eq!(
                count,
                allowed,
                "{} has statements that no test strips of their tenant",
                path.display()
            );
        }
    }
}

#[tokio::test]
async fn a_tenant_changes_and_adds_no_row_of_another() {
    let mut scene = Scene::new().await;
    for table in TABLES {
        let seen = format!("SELECT tenant_id FROM trunkline.{table} WHERE tenant_id <> 'acme'");
        if let Ok(rows) = scene.rows(&as_acme(), &seen).await {
            assert_eq!(rows, "", "{table}");
        }
        let own = format!("SELECT 1 FROM trunkline.{table} WHERE tenant_id = 'globex'");
        assert_ne!(scene.rows("", &own).await.unwrap(), "", "{table} has a row that could leak");
        let stolen = format!(
            "{}; UPDATE trunkline.{table} SET tenant_id = 'globex' WHERE tenant_id = 'acme'",
            as_acme()
        );
        run(&mut scene.connection, "BEGIN").await;
        let refused = try_text(&mut scene.connection, &stolen).await.unwrap_err();
        run(&mut scene.connection, "ROLLBACK").await;
        assert!(
            refused.contains("row-level security") || refused.contains("permission denied"),
            "{table}: {refused}"
        );
    }
    for (sql, table) in [
        ("UPDATE trunkline.deliveries SET held = held", "deliveries"),
        ("UPDATE trunkline.endpoints SET enabled = enabled", "endpoints"),
        ("DELETE FROM trunkline.event_types", "event_types"),
        ("DELETE FROM trunkline.endpoint_secrets", "endpoint_secrets"),
    ] {
        run(&mut scene.connection, "BEGIN").await;
        let of_globex = format!(
            "SELECT string_agg(t::text || t.ctid::text, '') FROM trunkline.{table} AS t WHERE tenant_id = 'globex'"
        );
        let before = try_text(&mut scene.connection, &of_globex).await.unwrap();
        run(&mut scene.connection, &as_acme()).await;
        run(&mut scene.connection, sql).await;
        run(&mut scene.connection, "RESET ROLE").await;
        assert_eq!(try_text(&mut scene.connection, &of_globex).await.unwrap(), before, "{sql}");
        run(&mut scene.connection, "ROLLBACK").await;
    }
}

/// The other half of a policy: what may be read and changed is one thing, what may be added another.
#[tokio::test]
async fn a_tenant_adds_no_row_for_another_to_any_table() {
    let mut scene = Scene::new().await;
    let may_insert = |rights: &&(Role, &str, &str)| rights.0 == Role::Api && rights.2.contains("INSERT");
    let mut tables = 0;
    for (_, table, _) in RIGHTS.iter().filter(may_insert) {
        run(&mut scene.connection, "BEGIN").await;
        let columns = format!(
            "SELECT string_agg(quote_ident(column_name), ', ') FROM information_schema.columns
             WHERE table_schema = 'trunkline' AND table_name = '{table}' AND is_generated = 'NEVER'
               AND identity_generation IS DISTINCT FROM 'ALWAYS'"
        );
        let columns = try_text(&mut scene.connection, &columns).await.unwrap();
        let row =
            format!("SELECT to_jsonb(t)::text FROM trunkline.{table} AS t WHERE tenant_id = 'acme' LIMIT 1");
        let row = try_text(&mut scene.connection, &row).await.unwrap();
        run(&mut scene.connection, "ROLLBACK").await;
        let mut add = async |tenant: &str| {
            let sql = format!(
                "{}; INSERT INTO trunkline.{table} ({columns})
                     SELECT {columns} FROM jsonb_populate_record(NULL::trunkline.{table}, $row${row}$row$::jsonb || '{{\"tenant_id\":\"{tenant}\"}}')",
                as_acme()
            );
            run(&mut scene.connection, "BEGIN").await;
            let added = try_text(&mut scene.connection, &sql).await;
            run(&mut scene.connection, "ROLLBACK").await;
            added.err().unwrap_or_default()
        };
        let refused = add("globex").await;
        assert!(refused.contains("row-level security"), "{table}: {refused:?}");
        let own = add("acme").await;
        assert!(own.is_empty() || own.contains("unique constraint"), "{table} takes its own: {own}");
        tables += 1;
    }
    assert!(tables > 8, "{tables}");
}

#[tokio::test]
async fn without_a_tenant_there_is_no_row() {
    let mut scene = Scene::new().await;
    let role = format!("SET LOCAL ROLE {}", Role::Api.name());
    for table in TABLES {
        if let Ok(rows) = scene.rows(&role, &format!("SELECT tenant_id FROM trunkline.{table}")).await {
            assert_eq!(rows, "", "{table}");
        }
    }
}
