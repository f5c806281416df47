//! Event types that tenants have described, some with a schema that REST holds payloads to.

use chrono::{DateTime, Utc};
use trunkline_domain::{EventType, TenantId};

use crate::{Connection, StoreError, row, tenants};

/// A type as its owner described it.
#[derive(Debug, Clone)]
pub struct DescribedType {
    /// As events carry it.
    pub event_type: EventType,
    /// What it means.
    pub description: Option<String>,
    /// JSON Schema of its payloads, as it was given. A list leaves it out.
    pub schema: Option<String>,
    /// Whether it has a schema.
    pub has_schema: bool,
    /// Whether REST refuses payloads that do not fit the schema.
    pub enforced: bool,
    /// Events of it are kept so many days; `None` = as the tenant's others.
    pub retention_days: Option<i32>,
    /// When it was described first.
    pub created_at: DateTime<Utc>,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
}

/// What a tenant says of a type; it replaces what was said before.
#[derive(Debug, Clone, Copy)]
pub struct Description<'a> {
    /// As events carry it.
    pub event_type: &'a EventType,
    /// At most 500 characters.
    pub description: Option<&'a str>,
    /// Checked: a JSON Schema that compiles.
    pub schema: Option<&'a str>,
    /// Only with a schema.
    pub enforced: bool,
    /// How long its events are kept; `None` = as the tenant's others.
    pub retention_days: Option<i32>,
}

/// What became of a description.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Described {
    /// The type is new.
    Created,
    /// It was described before.
    Replaced,
    /// The tenant has as many types as it may, or is deleted.
    Full,
}

/// Describes a type, or describes it anew. A tenant has at most `types_max`.
///
/// # Errors
/// When the database is not available.
pub async fn describe(
    connection: &mut Connection,
    tenant_id: &TenantId,
    new: &Description<'_>,
    types_max: i64,
    now: DateTime<Utc>,
) -> Result<Described, StoreError> {
    let mut transaction = connection.begin().await?;
    // Two at once would each count without the other's type.
    if !tenants::hold(&mut transaction, tenant_id).await? {
        return Ok(Described::Full);
    }
    let described = if replace(&mut transaction, tenant_id, new, now).await? {
        Described::Replaced
    } else if count(&mut transaction, tenant_id).await? >= types_max {
        return Ok(Described::Full);
    } else {
        insert(&mut transaction, tenant_id, new, now).await?;
        Described::Created
    };
    transaction.commit().await?;
    Ok(described)
}

async fn replace(
    connection: &mut Connection,
    tenant_id: &TenantId,
    new: &Description<'_>,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let replaced = sqlx::query!(
        r#"
        UPDATE trunkline.event_types
        SET description = $3, schema = $4::text::json, enforced = $5, updated_at = $6, retention_days = $7
        WHERE tenant_id = $1 AND type = $2
        "#,
        tenant_id.as_str(),
        new.event_type.as_str(),
        new.description,
        new.schema,
        new.enforced,
        now,
        new.retention_days,
    )
    .execute(connection)
    .await?;
    Ok(replaced.rows_affected() > 0)
}

async fn count(connection: &mut Connection, tenant_id: &TenantId) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM trunkline.event_types WHERE tenant_id = $1"#,
        tenant_id.as_str(),
    )
    .fetch_one(connection)
    .await?)
}

async fn insert(
    connection: &mut Connection,
    tenant_id: &TenantId,
    new: &Description<'_>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query!(
        r#"
        INSERT INTO trunkline.event_types (tenant_id, type, description, schema, enforced, created_at, updated_at, retention_days)
        VALUES ($1, $2, $3, $4::text::json, $5, $6, $6, $7)
        "#,
        tenant_id.as_str(),
        new.event_type.as_str(),
        new.description,
        new.schema,
        new.enforced,
        now,
        new.retention_days,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// One type with its schema.
///
/// # Errors
/// When the database is not available.
pub async fn find(
    connection: &mut Connection,
    tenant_id: &TenantId,
    event_type: &EventType,
) -> Result<Option<DescribedType>, StoreError> {
    let found = sqlx::query!(
        r#"
        SELECT description, schema::text AS schema, enforced, retention_days, created_at, updated_at
        FROM trunkline.event_types
        WHERE tenant_id = $1 AND type = $2
        "#,
        tenant_id.as_str(),
        event_type.as_str(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(found.map(|found| DescribedType {
        event_type: event_type.clone(),
        description: found.description,
        has_schema: found.schema.is_some(),
        schema: found.schema,
        enforced: found.enforced,
        retention_days: found.retention_days,
        created_at: found.created_at,
        updated_at: found.updated_at,
    }))
}

/// A page of a tenant's types in the order of their bytes, after the one named, without their schemas.
///
/// # Errors
/// When the database is not available.
pub async fn list(
    connection: &mut Connection,
    tenant_id: &TenantId,
    after: Option<&EventType>,
    limit: i64,
) -> Result<Vec<DescribedType>, StoreError> {
    let rows = sqlx::query!(
        r#"
        SELECT type, description, schema IS NOT NULL AS "has_schema!", enforced, retention_days, created_at, updated_at
        FROM trunkline.event_types
        WHERE tenant_id = $1 AND type COLLATE "C" > $2
        ORDER BY type COLLATE "C"
        LIMIT $3
        "#,
        tenant_id.as_str(),
        after.map_or("", EventType::as_str),
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|found| {
            let bad =
                || StoreError::BadRow { table: "event_types", column: "type", key: tenant_id.to_string() };
            Ok(DescribedType {
                event_type: found.r#type.parse().map_err(|_| bad())?,
                description: found.description,
                schema: None,
                has_schema: found.has_schema,
                enforced: found.enforced,
                retention_days: found.retention_days,
                created_at: found.created_at,
                updated_at: found.updated_at,
            })
        })
        .collect()
}

/// Forgets what was said of a type. Returns `false` if nothing was.
///
/// # Errors
/// When the database is not available.
pub async fn delete(
    connection: &mut Connection,
    tenant_id: &TenantId,
    event_type: &EventType,
) -> Result<bool, StoreError> {
    let deleted = sqlx::query!(
        "DELETE FROM trunkline.event_types WHERE tenant_id = $1 AND type = $2",
        tenant_id.as_str(),
        event_type.as_str(),
    )
    .execute(connection)
    .await?;
    Ok(deleted.rows_affected() > 0)
}

/// The tenants that enforce at least one schema.
///
/// # Errors
/// When the database is not available.
pub async fn tenants_that_enforce(connection: &mut Connection) -> Result<Vec<TenantId>, StoreError> {
    let names = sqlx::query_scalar!("SELECT DISTINCT tenant_id FROM trunkline.event_types WHERE enforced")
        .fetch_all(connection)
        .await?;
    names.into_iter().map(|name| row::tenant_id("event_types", name)).collect()
}

/// The schema that payloads of a type must fit; `None` = there is none, or it is not enforced.
///
/// # Errors
/// When the database is not available.
pub async fn enforced_schema(
    connection: &mut Connection,
    tenant_id: &TenantId,
    event_type: &EventType,
) -> Result<Option<String>, StoreError> {
    let found = sqlx::query_scalar!(
        r#"
        SELECT schema::text AS "schema!"
        FROM trunkline.event_types
        WHERE tenant_id = $1 AND type = $2 AND enforced
        "#,
        tenant_id.as_str(),
        event_type.as_str(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(found)
}
