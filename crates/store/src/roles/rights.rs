//! Who may do what to which table: the one list, which `trunkline migrate` grants, `trunkline doctor` checks and docs/SECURITY.md shows.

use std::collections::BTreeSet;

use super::Role;
use crate::citus;
use crate::{Connection, StoreError};

/// What the secrets of endpoints are to those who set them and need not read them.
const SECRETS_UNREAD: &str = "SELECT (tenant_id, endpoint_id, secret_id, key_id, created_at, valid_until); INSERT; UPDATE (valid_until); DELETE";

/// Role, table (or `function(types)`, or the schema itself), and rights, separated by semicolons. Nobody but the owner has any on a
/// partition: rights on the table reach them.
#[rustfmt::skip]
pub const RIGHTS: &[(Role, &str, &str)] = &[
    (Role::Api, "trunkline", "USAGE"),
    (Role::Api, "_sqlx_migrations", "SELECT"),
    (Role::Api, "history_partitions", "SELECT"),
    (Role::Api, "tenants", "SELECT; UPDATE (retention_days, updated_at)"),
    (Role::Api, "short_retentions", "SELECT"),
    (Role::Api, "api_keys", "SELECT; INSERT; UPDATE (revoked_at)"),
    (Role::Api, "endpoints", "SELECT; INSERT; UPDATE"),
    (Role::Api, "endpoint_secrets", SECRETS_UNREAD),
    (Role::Api, "events", "SELECT; INSERT"),
    (Role::Api, "payloads", "SELECT; INSERT; UPDATE (payload)"),
    (Role::Api, "deliveries", "SELECT; INSERT; UPDATE"),
    (Role::Api, "attempts", "SELECT; INSERT; UPDATE (response_excerpt, response_headers)"),
    (Role::Api, "ordering_keys", "SELECT; INSERT; UPDATE"),
    (Role::Api, "event_types", "SELECT; INSERT; UPDATE; DELETE"),
    (Role::Api, "replays", "SELECT; INSERT; UPDATE"),
    (Role::Api, "erasures", "SELECT; INSERT"),
    (Role::Api, "audit", "INSERT"),

    (Role::Ingest, "trunkline", "USAGE"),
    (Role::Ingest, "endpoints", "SELECT (tenant_id, endpoint_id, enabled, operational, deleted_at, event_types, payload_filter, filter_weight, ordered, ordering_blocks)"),
    (Role::Ingest, "events", "SELECT (lane, tenant_id, event_id); INSERT"),
    (Role::Ingest, "payloads", "SELECT (lane); INSERT"),
    (Role::Ingest, "deliveries", "SELECT (lane, tenant_id, event_id, endpoint_id, status, due_at, finished_at, ordering_key); INSERT; UPDATE (held, due_at)"),
    (Role::Ingest, "idempotency_keys", "SELECT; INSERT; UPDATE"),
    (Role::Ingest, "ordering_keys", "SELECT; INSERT; UPDATE"),
    (Role::Ingest, "rate_buckets", "SELECT; INSERT; UPDATE"),

    (Role::Operator, "trunkline", "USAGE"),
    (Role::Operator, "_sqlx_migrations", "SELECT"),
    (Role::Operator, "history_partitions", "SELECT"),
    (Role::Operator, "lanes", "SELECT"),
    (Role::Operator, "workers", "SELECT"),
    (Role::Operator, "tenants", "SELECT; INSERT; UPDATE (status, retention_days, rate_per_second, burst, updated_at)"),
    (Role::Operator, "api_keys", "SELECT; INSERT; UPDATE (revoked_at, last_used_at)"),
    (Role::Operator, "short_retentions", "SELECT"),
    (Role::Operator, "tenant_days", "SELECT"),
    (Role::Operator, "counted_days", "SELECT"),
    (Role::Operator, "reader_tenants", "SELECT"),
    (Role::Operator, "restore_holds", "SELECT; INSERT; DELETE"),
    (Role::Operator, "endpoints", "SELECT (tenant_id, endpoint_id, name, url, enabled, disabled_reason, custom_headers, payload_filter, filter_weight, rate_per_second, in_flight_max, paused, paused_until, breaker_open_until, failing_since, deleted_at); INSERT; UPDATE (url, enabled, disabled_reason, custom_headers, paused, updated_at, deleted_at)"),
    (Role::Operator, "events", "SELECT (lane, tenant_id, event_id, type, created_at)"),
    (Role::Operator, "endpoint_secrets", SECRETS_UNREAD),
    (Role::Operator, "payloads", "SELECT (lane, tenant_id, event_id); DELETE"),
    (Role::Operator, "deliveries", "SELECT; UPDATE (status, due_at, held, expedited, lease, leased_until, last_attempt_at, finished_at)"),
    (Role::Operator, "attempts", "SELECT (lane); INSERT"),
    (Role::Operator, "ordering_keys", "SELECT (lane, tenant_id, key); DELETE"),
    (Role::Operator, "event_types", "SELECT; DELETE"),
    (Role::Operator, "replays", "SELECT; UPDATE (state, updated_at, finished_at)"),
    (Role::Operator, "audit", "SELECT; INSERT"),

    (Role::Worker, "trunkline", "USAGE"),
    (Role::Worker, "create_partitions(integer, integer)", "EXECUTE"),
    (Role::Worker, "_sqlx_migrations", "SELECT"),
    (Role::Worker, "history_partitions", "SELECT"),
    (Role::Worker, "lanes", "SELECT; UPDATE"),
    (Role::Worker, "workers", "SELECT; INSERT; UPDATE; DELETE"),
    (Role::Worker, "tenants", "SELECT"),
    (Role::Worker, "short_retentions", "SELECT"),
    (Role::Worker, "event_types", "SELECT (tenant_id, type, retention_days)"),
    (Role::Worker, "endpoints", "SELECT; UPDATE"),
    (Role::Worker, "endpoint_secrets", "SELECT"),
    (Role::Worker, "events", "SELECT; INSERT; UPDATE (routed)"),
    (Role::Worker, "payloads", "SELECT; INSERT"),
    (Role::Worker, "deliveries", "SELECT; INSERT; UPDATE"),
    (Role::Worker, "attempts", "SELECT; INSERT"),
    (Role::Worker, "idempotency_keys", "SELECT; UPDATE (expires_at); DELETE"),
    (Role::Worker, "ordering_keys", "SELECT; INSERT; UPDATE; DELETE"),
    (Role::Worker, "replays", "SELECT; UPDATE"),
    (Role::Worker, "audit", "SELECT (audit_id); INSERT; DELETE"),

    (Role::Receiver, "trunkline", "USAGE"),
    (Role::Receiver, "_sqlx_migrations", "SELECT"),
    (Role::Receiver, "tenants", "SELECT"),
    (Role::Receiver, "api_keys", "SELECT (key_sha256, key_id, tenant_id, scopes, expires_at, revoked_at)"),
    (Role::Receiver, "endpoints", "SELECT (tenant_id, endpoint_id, name, url, payload_filter, filter_weight, deleted_at)"),
    (Role::Receiver, "endpoint_secrets", "SELECT (tenant_id, endpoint_id, secret_id, key_id, sealed, valid_until)"),
    (Role::Receiver, "receptions", "SELECT; INSERT; UPDATE"),
    (Role::Receiver, "receipts", "SELECT; INSERT; UPDATE; DELETE"),
    (Role::Receiver, "audit", "INSERT"),
];

/// One right of one role, as the catalogue has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Right {
    role: String,
    object: String,
    privilege: String,
    column: Option<String>,
}

/// A right that a role has and should not, or the other way round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Whether the role lacks it; else it is too much.
    pub is_missing: bool,
    /// The statement that puts it right.
    pub remedy: String,
}

impl Right {
    fn statement(&self, verb: &str, preposition: &str) -> String {
        let kind = match self.object.as_str() {
            "trunkline" => "SCHEMA trunkline".to_owned(),
            function if function.ends_with(')') => format!("FUNCTION trunkline.{function}"),
            table => format!("trunkline.{table}"),
        };
        let column = self.column.as_ref().map(|column| format!(" ({column})")).unwrap_or_default();
        format!("{verb} {}{column} ON {kind} {preposition} {}", self.privilege, self.role)
    }
}

fn wanted(is_distributed: bool) -> BTreeSet<Right> {
    let mut rights = BTreeSet::new();
    for (role, object, words) in RIGHTS {
        for word in words.split("; ") {
            let (privilege, mut columns) = word.split_once(" (").unwrap_or((word, ""));
            if is_distributed && citus::is_whole(object) {
                columns = "";
            }
            let right = |column: Option<&str>| Right {
                role: role.name().to_owned(),
                object: (*object).to_owned(),
                privilege: privilege.to_owned(),
                column: column.map(str::to_owned),
            };
            let columns = columns.trim_end_matches(')');
            if columns.is_empty() {
                rights.insert(right(None));
            }
            rights.extend(
                columns.split(", ").filter(|column| !column.is_empty()).map(|column| right(Some(column))),
            );
        }
    }
    rights
}

async fn found(connection: &mut Connection) -> Result<BTreeSet<Right>, StoreError> {
    let roles: Vec<String> = Role::ALL.iter().map(|role| role.name().to_owned()).collect();
    let rows = sqlx::query_as!(
        Right,
        r#"
        SELECT r.rolname::text AS "role!", a.object AS "object!", a.privilege AS "privilege!", a."column"
        FROM (
            SELECT c.relname::text AS object, x.grantee, x.privilege_type AS privilege, NULL::text AS "column"
            FROM pg_class AS c
            CROSS JOIN LATERAL aclexplode(c.relacl) AS x
            WHERE c.relnamespace = 'trunkline'::regnamespace
            UNION ALL
            SELECT c.relname, x.grantee, x.privilege_type, t.attname
            FROM pg_class AS c
            JOIN pg_attribute AS t ON t.attrelid = c.oid
            CROSS JOIN LATERAL aclexplode(t.attacl) AS x
            WHERE c.relnamespace = 'trunkline'::regnamespace
            UNION ALL
            SELECT format('%s(%s)', p.proname, oidvectortypes(p.proargtypes)), x.grantee, x.privilege_type, NULL
            FROM pg_proc AS p
            CROSS JOIN LATERAL aclexplode(p.proacl) AS x
            WHERE p.pronamespace = 'trunkline'::regnamespace
            UNION ALL
            SELECT n.nspname, x.grantee, x.privilege_type, NULL
            FROM pg_namespace AS n
            CROSS JOIN LATERAL aclexplode(n.nspacl) AS x
            WHERE n.nspname = 'trunkline'
        ) AS a
        JOIN pg_roles AS r ON r.oid = a.grantee
        WHERE r.rolname = ANY($1)
        "#,
        &roles,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().collect())
}

/// Where the rights of the roles differ from the list.
///
/// # Errors
/// When the database is not available.
pub async fn differences(connection: &mut Connection) -> Result<Vec<Difference>, StoreError> {
    let is_distributed = citus::is_distributed(connection).await?;
    differences_where(connection, is_distributed).await
}

async fn differences_where(
    connection: &mut Connection,
    is_distributed: bool,
) -> Result<Vec<Difference>, StoreError> {
    let (wanted, found) = (wanted(is_distributed), found(connection).await?);
    let too_much = found
        .difference(&wanted)
        .map(|right| Difference { is_missing: false, remedy: right.statement("REVOKE", "FROM") });
    let missing = wanted
        .difference(&found)
        .map(|right| Difference { is_missing: true, remedy: right.statement("GRANT", "TO") });
    // What is taken first: revoking a right on a table takes it on the columns too.
    Ok(too_much.chain(missing).collect())
}

/// Makes the rights of the roles those of the list. Two at once: the second waits, and finds nothing to do.
///
/// # Errors
/// When the login does not own the tables, or the database is not available.
pub async fn grant(connection: &mut Connection) -> Result<(), StoreError> {
    let is_distributed = citus::is_distributed(connection).await?;
    grant_where(connection, is_distributed).await
}

/// The same, as they are where tables are distributed or not.
pub(crate) async fn grant_where(connection: &mut Connection, is_distributed: bool) -> Result<(), StoreError> {
    let mut transaction = connection.begin().await?;
    // The number is arbitrary and used for nothing else.
    sqlx::query!("SELECT pg_advisory_xact_lock(7310582648)").execute(&mut *transaction).await?;
    // Again after what was revoked: rights on columns may have gone with those on their table.
    for _ in 0..2 {
        for difference in differences_where(&mut transaction, is_distributed).await? {
            sqlx::raw_sql(sqlx::AssertSqlSafe(difference.remedy)).execute(&mut *transaction).await?;
        }
    }
    transaction.commit().await?;
    Ok(())
}

/// Tables of the list with a tenant in them that row security does not hold, or not their owner.
///
/// # Errors
/// When the database is not available.
pub async fn unheld(connection: &mut Connection) -> Result<Vec<String>, StoreError> {
    let tables: Vec<String> = RIGHTS.iter().map(|(_, table, _)| (*table).to_owned()).collect();
    Ok(sqlx::query_scalar!(
        r#"
        SELECT c.relname::text AS "table!"
        FROM pg_class AS c
        JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'tenant_id'
        WHERE c.relnamespace = 'trunkline'::regnamespace AND c.relkind IN ('r', 'p') AND c.relname = ANY($1)
          AND NOT (c.relrowsecurity AND c.relforcerowsecurity)
        ORDER BY c.relname
        "#,
        &tables,
    )
    .fetch_all(connection)
    .await?)
}

/// Partitions of history on which anyone but their owner has a right of their own, and roles of ours that no policy holds.
///
/// # Errors
/// When the database is not available.
pub async fn exposed(connection: &mut Connection) -> Result<Vec<String>, StoreError> {
    let roles: Vec<String> = Role::ALL.iter().map(|role| role.name().to_owned()).collect();
    Ok(sqlx::query_scalar!(
        r#"
        SELECT DISTINCT c.relname::text AS "name!"
        FROM pg_class AS c
        LEFT JOIN pg_attribute AS t ON t.attrelid = c.oid AND t.attacl IS NOT NULL
        LEFT JOIN LATERAL (
            SELECT x.grantee FROM aclexplode(c.relacl) AS x
            UNION ALL
            SELECT x.grantee FROM aclexplode(t.attacl) AS x
        ) AS x ON true
        WHERE c.relnamespace = 'trunkline'::regnamespace AND c.relispartition AND c.relkind = 'r' AND x.grantee <> c.relowner
        UNION ALL
        SELECT rolname::text
        FROM pg_roles
        WHERE rolname = ANY($1) AND (rolsuper OR rolbypassrls)
        ORDER BY 1
        "#,
        &roles,
    )
    .fetch_all(connection)
    .await?)
}

/// What somebody else may do in the schema: rights of PUBLIC and of roles that are none of ours, readers that may do more than read or see
/// secrets, functions that act as their owner for anybody, and roles of ours that are members of one another.
///
/// # Errors
/// When the database is not available.
pub async fn strangers(connection: &mut Connection) -> Result<Vec<String>, StoreError> {
    let roles: Vec<String> = Role::ALL.iter().map(|role| role.name().to_owned()).collect();
    Ok(sqlx::query_scalar!(
        r#"
        WITH guests AS (
            SELECT oid FROM pg_roles WHERE rolname IN ('trunkline_publisher', 'trunkline_reader', 'trunkline_tenant_reader')
        ), ours AS (
            SELECT oid FROM pg_roles WHERE rolname = ANY($1)
            UNION ALL
            SELECT oid FROM guests
        ), granted AS (
            SELECT c.relname::text AS object, c.relowner AS owner, x.grantee, x.privilege_type AS privilege, true AS is_table
            FROM pg_class AS c
            LEFT JOIN pg_attribute AS t ON t.attrelid = c.oid AND t.attacl IS NOT NULL
            CROSS JOIN LATERAL (
                SELECT * FROM aclexplode(c.relacl)
                UNION
                SELECT * FROM aclexplode(t.attacl)
            ) AS x
            WHERE c.relnamespace = 'trunkline'::regnamespace AND NOT c.relispartition
            UNION
            SELECT 'the schema', n.nspowner, x.grantee, x.privilege_type, false
            FROM pg_namespace AS n
            CROSS JOIN LATERAL aclexplode(n.nspacl) AS x
            WHERE n.nspname = 'trunkline'
            UNION
            SELECT p.proname || '()', p.proowner, x.grantee, x.privilege_type, false
            FROM pg_proc AS p
            CROSS JOIN LATERAL aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS x
            -- PUBLIC may execute what acts as the caller; and these, which tell a session whose rows it is bound to.
            WHERE p.pronamespace = 'trunkline'::regnamespace
              AND (x.grantee <> 0 OR p.prosecdef AND p.proname NOT IN ('reader_tenant', 'reader_lane'))
        )
        SELECT format('%s has %s on %s', CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE g.grantee::regrole::text END,
                      g.privilege, g.object) AS "what!"
        FROM granted AS g
        WHERE g.grantee <> g.owner
          AND (g.grantee NOT IN (SELECT oid FROM ours)
               OR g.is_table AND g.grantee IN (SELECT oid FROM guests)
                  AND (g.privilege <> 'SELECT' OR g.object IN ('api_keys', 'endpoint_secrets')))
        UNION ALL
        SELECT format('%s is a member of %s', m.member::regrole, m.roleid::regrole)
        FROM pg_auth_members AS m
        WHERE m.member IN (SELECT oid FROM ours) AND m.roleid IN (SELECT oid FROM ours)
        ORDER BY 1
        "#,
        &roles,
    )
    .fetch_all(connection)
    .await?)
}
