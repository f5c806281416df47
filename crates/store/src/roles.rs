//! As whom the doors act in the database: each in a role of its own, with the least it needs. Tenants' work runs in a transaction
//! that names its tenant, and row security shows it no other rows, even where a statement forgets to ask for its tenant only.

mod policies;
mod rights;

use trunkline_domain::TenantId;

use crate::{Connection, Pool, StoreError, Transaction};

pub use policies::misheld;
pub(crate) use rights::grant_where;
pub use rights::{Difference, RIGHTS, differences, exposed, grant, strangers, unheld};

/// A role of the database that nobody logs in with: logins are members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The api, for one tenant: sees no rows but those of the tenant that its transaction names.
    Api,
    /// The api's flushers: they write events of many tenants in one statement.
    Ingest,
    /// The api for no single tenant: it finds whose a key is, and serves operators.
    Operator,
    /// Workers.
    Worker,
    /// Receivers.
    Receiver,
}

impl Role {
    /// Every one.
    pub const ALL: [Self; 5] = [Self::Api, Self::Ingest, Self::Operator, Self::Worker, Self::Receiver];

    /// What an api acts as.
    pub const OF_API: &[Self] = &[Self::Api, Self::Ingest, Self::Operator];

    /// Its name in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Api => "trunkline_api",
            Self::Ingest => "trunkline_ingest",
            Self::Operator => "trunkline_operator",
            Self::Worker => "trunkline_worker",
            Self::Receiver => "trunkline_receiver",
        }
    }
}

/// Opens a transaction on behalf of one tenant, in one round trip; it is rolled back unless it is committed. Role and tenant are set
/// for this transaction only, so that it holds behind a transaction pooler too.
///
/// # Errors
/// When the database is not available.
pub async fn for_tenant(pool: &Pool, tenant_id: &TenantId) -> Result<Transaction<'static>, StoreError> {
    // An id is a-z, 0-9 and -, which needs no quoting beyond these quotes; SET takes no parameters.
    let (role, tenant_id) = (Role::Api.name(), tenant_id.as_str());
    let enter = format!("SET LOCAL ROLE {role}; SET LOCAL trunkline.tenant_id = '{tenant_id}'");
    Ok(pool.begin_with(&enter).await?)
}

/// Opens a transaction for no single tenant, in one round trip; it is rolled back unless it is committed.
///
/// # Errors
/// When the database is not available.
pub async fn for_operator(pool: &Pool) -> Result<Transaction<'static>, StoreError> {
    Ok(pool.begin_with(&format!("SET LOCAL ROLE {}", Role::Operator.name())).await?)
}

/// The login of a connection, and those of `roles` that it may not act as: they do not exist, or it is no member.
///
/// # Errors
/// When the database is not available.
pub async fn missing(
    connection: &mut Connection,
    roles: &[Role],
) -> Result<(String, Vec<String>), StoreError> {
    let names: Vec<String> = roles.iter().map(|role| role.name().to_owned()).collect();
    // Since PostgreSQL 16 a membership may come without the right to act as the role.
    let found = sqlx::query!(
        r#"
        SELECT session_user::text AS "login!", coalesce(array_agg(wanted.name ORDER BY wanted.place) FILTER (
                   WHERE r.oid IS NULL OR NOT pg_has_role(session_user, r.oid,
                       CASE WHEN current_setting('server_version_num')::integer >= 160000 THEN 'SET' ELSE 'MEMBER' END)
               ), '{}') AS "missing!"
        FROM unnest($1::text[]) WITH ORDINALITY AS wanted (name, place)
        LEFT JOIN pg_roles AS r ON r.rolname = wanted.name
        "#,
        &names,
    )
    .fetch_one(connection)
    .await?;
    Ok((found.login, found.missing))
}

/// Acts as a role for the rest of the transaction. Not longer: a pooler would lend the connection to others in that role.
///
/// # Errors
/// When its login is no member, or the database is not available.
pub(crate) async fn enter(connection: &mut Connection, role: Role) -> Result<(), StoreError> {
    let sql = format!("SET LOCAL ROLE {}", role.name());
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(connection).await?;
    Ok(())
}
