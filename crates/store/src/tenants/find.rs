use chrono::{DateTime, Utc};
use trunkline_domain::{EndpointId, Lane, TenantId};
use uuid::Uuid;

use super::DEFAULT_ENDPOINT;
use crate::{Connection, StoreError, row};

/// Whether a tenant may publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TenantStatus {
    /// Publishes and is delivered to.
    Active,
    /// Reads only; its deliveries wait.
    Suspended,
    /// Gone for good.
    Deleted,
}

impl TenantStatus {
    /// The word used in SQL and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Suspended => "SUSPENDED",
            Self::Deleted => "DELETED",
        }
    }

    pub(crate) fn from_row(word: &str, key: impl ToString) -> Result<Self, StoreError> {
        [Self::Active, Self::Suspended, Self::Deleted]
            .into_iter()
            .find(|status| status.as_str() == word)
            .ok_or_else(|| StoreError::BadRow { table: "tenants", column: "status", key: key.to_string() })
    }
}

/// A tenant as its operator and it itself see it.
#[derive(Debug, Clone)]
pub struct Tenant {
    /// Its name.
    pub tenant_id: TenantId,
    /// Where its work belongs.
    pub lane: Lane,
    /// Whether it may publish.
    pub status: TenantStatus,
    /// The endpoint named `default`, unless it was deleted.
    pub default_endpoint_id: Option<EndpointId>,
    /// That endpoint's address.
    pub target_url: Option<String>,
    /// Its events are kept so many days; `None` = as the settings say.
    pub retention_days: Option<i32>,
    /// Events a second it may publish; `None` = as the settings say, 0 = no limit.
    pub rate_per_second: Option<u32>,
    /// Events it may publish at once; `None` = as the settings say.
    pub burst: Option<u32>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it or its default endpoint was last changed.
    pub updated_at: DateTime<Utc>,
}

struct Row {
    tenant_id: String,
    lane: i16,
    status: String,
    default_endpoint_id: Option<Uuid>,
    target_url: Option<String>,
    retention_days: Option<i32>,
    rate_per_second: Option<i32>,
    burst: Option<i32>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl TryFrom<Row> for Tenant {
    type Error = StoreError;

    fn try_from(found: Row) -> Result<Self, StoreError> {
        Ok(Self {
            lane: row::lane("tenants", found.lane, &found.tenant_id)?,
            status: TenantStatus::from_row(&found.status, &found.tenant_id)?,
            tenant_id: row::tenant_id("tenants", found.tenant_id)?,
            default_endpoint_id: found.default_endpoint_id.map(EndpointId::from),
            target_url: found.target_url,
            retention_days: found.retention_days,
            rate_per_second: found.rate_per_second.map(row::unsigned),
            burst: found.burst.map(row::unsigned),
            created_at: found.created_at,
            updated_at: found.updated_at,
        })
    }
}

/// One tenant; deleted ones are found too.
///
/// # Errors
/// When the database is not available.
pub async fn find(connection: &mut Connection, tenant_id: &TenantId) -> Result<Option<Tenant>, StoreError> {
    sqlx::query_as!(
        Row,
        r#"
        SELECT t.tenant_id, t.lane, t.status::text AS "status!",
               e.endpoint_id AS "default_endpoint_id?", e.url AS "target_url?", t.retention_days,
               t.rate_per_second, t.burst, t.created_at, t.updated_at
        FROM trunkline.tenants AS t
        LEFT JOIN trunkline.endpoints AS e
          ON e.tenant_id = t.tenant_id AND e.name = $2 AND e.deleted_at IS NULL
        WHERE t.tenant_id = $1
        "#,
        tenant_id.as_str(),
        DEFAULT_ENDPOINT,
    )
    .fetch_optional(connection)
    .await?
    .map(Tenant::try_from)
    .transpose()
}

/// A page of the tenants that are not deleted, by name, after the one named.
///
/// # Errors
/// When the database is not available.
pub async fn list(
    connection: &mut Connection,
    after: Option<&TenantId>,
    limit: i64,
) -> Result<Vec<Tenant>, StoreError> {
    sqlx::query_as!(
        Row,
        r#"
        SELECT t.tenant_id, t.lane, t.status::text AS "status!",
               e.endpoint_id AS "default_endpoint_id?", e.url AS "target_url?", t.retention_days,
               t.rate_per_second, t.burst, t.created_at, t.updated_at
        FROM trunkline.tenants AS t
        LEFT JOIN trunkline.endpoints AS e
          ON e.tenant_id = t.tenant_id AND e.name = $3 AND e.deleted_at IS NULL
        WHERE t.tenant_id > $1 AND t.status <> 'DELETED'
        ORDER BY t.tenant_id
        LIMIT $2
        "#,
        after.map_or("", TenantId::as_str),
        limit,
        DEFAULT_ENDPOINT,
    )
    .fetch_all(connection)
    .await?
    .into_iter()
    .map(Tenant::try_from)
    .collect()
}
