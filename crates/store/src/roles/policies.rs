//! Which rows a role may touch: the policies that the migrations make, against those that there are.

use std::collections::BTreeSet;

use super::{RIGHTS, Role};
use crate::citus;
use crate::{Connection, StoreError};

/// What readers see, each in a view that acts as whoever reads.
const READ: [&str; 8] =
    ["tenants", "endpoints", "event_types", "events", "payloads", "deliveries", "attempts", "tenant_days"];

const LANE_OF_READER: &str = "lane = ( SELECT trunkline.reader_lane() AS reader_lane)";
const TENANT_OF_READER: &str = "tenant_id = ( SELECT trunkline.reader_tenant() AS reader_tenant)";

/// A policy, and the statement that makes it, as the catalogue words it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Policy {
    table: String,
    name: String,
    statement: String,
}

impl Policy {
    fn new(table: &str, name: &str, command: &str, roles: &str, using: &str) -> Self {
        let statement =
            format!("CREATE POLICY {name} ON trunkline.{table} FOR {command} TO {roles} USING ({using})");
        Self { table: table.to_owned(), name: name.to_owned(), statement }
    }
}

/// `owned`: tables, and the column that says whose a row is.
fn wanted(owned: &[(String, String)], is_distributed: bool) -> BTreeSet<Policy> {
    let mut policies = BTreeSet::new();
    let of_all = [Role::Ingest, Role::Operator, Role::Receiver, Role::Worker].map(Role::name).join(", ");
    for (table, column) in owned {
        let own = format!("({column} = current_setting('trunkline.tenant_id'::text, true))");
        policies.insert(Policy::new(table, "own_tenant", "ALL", Role::Api.name(), &own));
        policies.insert(Policy::new(table, "all_tenants", "ALL", &of_all, "true"));
    }
    for table in READ {
        let mut reader = |name: &str, role: &str, using: &str| {
            policies.insert(Policy::new(table, name, "SELECT", role, using));
        };
        // What `cluster distribute` makes of them.
        if is_distributed {
            let unbound = "(NOT pg_has_role(CURRENT_USER, 'trunkline_tenant_reader'::name, 'MEMBER'::text))";
            reader("reader", "trunkline_reader", unbound);
            continue;
        }
        let unbound = "(( SELECT trunkline.reader_tenant() AS reader_tenant) IS NULL)";
        reader("reader", "trunkline_reader", unbound);
        let own = match table {
            "event_types" => format!("({TENANT_OF_READER})"),
            _ => format!("(({LANE_OF_READER}) AND ({TENANT_OF_READER}))"),
        };
        reader("tenant_reader", "trunkline_tenant_reader", &own);
    }
    policies
}

/// The statements that make the policies of the schema those of the migrations: what is none of theirs goes, what is missing is made, and
/// what was altered is both.
///
/// # Errors
/// When the database is not available.
pub async fn misheld(connection: &mut Connection) -> Result<Vec<String>, StoreError> {
    let is_distributed = citus::is_distributed(connection).await?;
    let mut transaction = connection.begin().await?;
    // By this path depends whether a function is told with its schema.
    sqlx::query!("SET LOCAL search_path = pg_catalog").execute(&mut *transaction).await?;
    let (owned, found) = (owned(&mut transaction).await?, found(&mut transaction).await?);
    transaction.rollback().await?;
    let wanted = wanted(&owned, is_distributed);
    let drops = found
        .difference(&wanted)
        .map(|policy| format!("DROP POLICY {} ON trunkline.{}", policy.name, policy.table));
    let makes = wanted.difference(&found).map(|policy| policy.statement.clone());
    Ok(drops.chain(makes).collect())
}

async fn owned(connection: &mut Connection) -> Result<Vec<(String, String)>, StoreError> {
    let tables: Vec<String> = RIGHTS.iter().map(|(_, table, _)| (*table).to_owned()).collect();
    let rows = sqlx::query!(
        r#"
        SELECT c.relname::text AS "table!", a.attname::text AS "column!"
        FROM pg_class AS c
        JOIN pg_attribute AS a ON a.attrelid = c.oid
        WHERE c.relnamespace = 'trunkline'::regnamespace AND c.relkind IN ('r', 'p') AND c.relname = ANY($1)
          AND (a.attname = 'tenant_id' OR c.relname = 'receptions' AND a.attname = 'scope')
        "#,
        &tables,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.table, row.column)).collect())
}

/// Those on partitions too, where there should be none.
async fn found(connection: &mut Connection) -> Result<BTreeSet<Policy>, StoreError> {
    let rows = sqlx::query_as!(
        Policy,
        r#"
        SELECT quote_ident(p.tablename) AS "table!", quote_ident(p.policyname) AS "name!",
               format('CREATE POLICY %I ON trunkline.%I%s FOR %s TO %s%s%s', p.policyname, p.tablename,
                      CASE WHEN p.permissive <> 'PERMISSIVE' THEN ' AS ' || p.permissive END, p.cmd,
                      (SELECT string_agg(r.name, ', ' ORDER BY r.name COLLATE "C") FROM unnest(p.roles) AS r (name)),
                      ' USING (' || p.qual || ')', ' WITH CHECK (' || p.with_check || ')') AS "statement!"
        FROM pg_policies AS p
        WHERE p.schemaname = 'trunkline'
        "#,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().collect())
}
