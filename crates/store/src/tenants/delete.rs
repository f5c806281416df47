use chrono::{DateTime, Utc};
use trunkline_domain::{Lane, TenantId};

use crate::wake::note_changed;
use crate::{Connection, StoreError, api_keys, row};

/// What the end of a tenant took with it at once.
#[derive(Debug, Clone)]
pub struct Ended {
    /// Where its work belonged.
    pub lane: Lane,
    /// When it was deleted: now, or at the first call.
    pub deleted_at: DateTime<Utc>,
    /// The hashes of the keys that were revoked, by which caches know them.
    pub keys: Vec<Vec<u8>>,
    /// Endpoints that were deleted, each with its secrets.
    pub endpoints: u64,
}

/// Deletes a tenant: in one transaction its keys are revoked, its endpoints deleted, secrets, custom headers and types
/// forgotten, replays cancelled. Its history stays; [`clear`] takes the rest. `None` if there never was such a tenant; one
/// that is deleted already stays so.
///
/// # Errors
/// When the database is not available.
pub async fn end(
    connection: &mut Connection,
    tenant_id: &TenantId,
    now: DateTime<Utc>,
) -> Result<Option<Ended>, StoreError> {
    let mut transaction = connection.begin().await?;
    let Some((lane, deleted_at)) = set_deleted(&mut transaction, tenant_id, now).await? else {
        return Ok(None);
    };
    let keys = api_keys::revoke_all(&mut transaction, tenant_id, now).await?;
    let endpoints = delete_endpoints(&mut transaction, tenant_id, now).await?;
    delete_secrets(&mut transaction, tenant_id).await?;
    delete_types(&mut transaction, tenant_id).await?;
    cancel_replays(&mut transaction, tenant_id, now).await?;
    note_changed(&mut transaction, tenant_id).await?;
    transaction.commit().await?;
    Ok(Some(Ended { lane, deleted_at, keys, endpoints }))
}

async fn set_deleted(
    connection: &mut Connection,
    tenant_id: &TenantId,
    now: DateTime<Utc>,
) -> Result<Option<(Lane, DateTime<Utc>)>, StoreError> {
    let found = sqlx::query!(
        r#"
        UPDATE trunkline.tenants
        SET updated_at = CASE WHEN status = 'DELETED' THEN updated_at ELSE $2 END, status = 'DELETED'
        WHERE tenant_id = $1
        RETURNING lane, updated_at
        "#,
        tenant_id.as_str(),
        now,
    )
    .fetch_optional(connection)
    .await?;
    found.map(|found| Ok((row::lane("tenants", found.lane, tenant_id)?, found.updated_at))).transpose()
}

async fn delete_endpoints(
    connection: &mut Connection,
    tenant_id: &TenantId,
    now: DateTime<Utc>,
) -> Result<u64, StoreError> {
    // Custom headers often are credentials.
    let deleted = sqlx::query!(
        r#"
        UPDATE trunkline.endpoints
        SET deleted_at = $2, enabled = false, disabled_reason = coalesce(disabled_reason, 'manual'), custom_headers = '{}'
        WHERE tenant_id = $1 AND deleted_at IS NULL
        "#,
        tenant_id.as_str(),
        now,
    )
    .execute(connection)
    .await?;
    Ok(deleted.rows_affected())
}

async fn delete_secrets(connection: &mut Connection, tenant_id: &TenantId) -> Result<(), StoreError> {
    sqlx::query!("DELETE FROM trunkline.endpoint_secrets WHERE tenant_id = $1", tenant_id.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

async fn delete_types(connection: &mut Connection, tenant_id: &TenantId) -> Result<(), StoreError> {
    sqlx::query!("DELETE FROM trunkline.event_types WHERE tenant_id = $1", tenant_id.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

async fn cancel_replays(
    connection: &mut Connection,
    tenant_id: &TenantId,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query!(
        r#"
        UPDATE trunkline.replays
        SET state = 'cancelled', finished_at = $2, updated_at = $2
        WHERE tenant_id = $1 AND state IN ('running', 'paused')
        "#,
        tenant_id.as_str(),
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// What one batch took of a deleted tenant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cleared {
    /// Open deliveries that were cancelled.
    pub cancelled: u64,
    /// Payloads that were removed.
    pub payloads: u64,
    /// Ordering keys that were removed: they often name something of the tenant's customers.
    pub keys: u64,
}

impl Cleared {
    /// The most of anything; less than the batch = nothing is left.
    pub fn most(&self) -> u64 {
        self.cancelled.max(self.payloads).max(self.keys)
    }
}

/// One batch of what is left of a deleted tenant: cancels at most `batch` open deliveries and, once none is left, removes at
/// most as many payloads, and ordering keys.
///
/// # Errors
/// When the database is not available.
pub async fn clear(
    connection: &mut Connection,
    lane: Lane,
    tenant_id: &TenantId,
    batch: i64,
    now: DateTime<Utc>,
) -> Result<Cleared, StoreError> {
    let cancelled = cancel_open(connection, lane, tenant_id, batch, now).await?;
    // A delivery that is still open would be attempted without its payload, and become a dead letter.
    if cancelled >= batch.unsigned_abs() {
        return Ok(Cleared { cancelled, ..Cleared::default() });
    }
    let payloads = remove_payloads(connection, lane, tenant_id, batch).await?;
    let keys = remove_ordering_keys(connection, lane, tenant_id, batch).await?;
    Ok(Cleared { cancelled, payloads, keys })
}

async fn cancel_open(
    connection: &mut Connection,
    lane: Lane,
    tenant_id: &TenantId,
    batch: i64,
    now: DateTime<Utc>,
) -> Result<u64, StoreError> {
    let cancelled = sqlx::query_scalar!(
        r#"
        WITH open AS (
            SELECT event_id, endpoint_id, attempts, lease, leased_until
            FROM trunkline.deliveries
            WHERE lane = $1 AND tenant_id = $2
              AND (status = 'PENDING' OR status = 'FAILED') AND (due_at IS NOT NULL OR held)
            LIMIT $3
            FOR UPDATE
        ), cancelled AS (
            UPDATE trunkline.deliveries AS d
            SET status = 'CANCELLED', due_at = NULL, held = false, expedited = false,
                lease = NULL, leased_until = NULL, finished_at = $4,
                last_attempt_at = CASE WHEN o.lease IS NULL THEN d.last_attempt_at ELSE least($4, o.leased_until) END
            FROM open AS o
            WHERE d.lane = $1 AND d.tenant_id = $2 AND d.event_id = o.event_id AND d.endpoint_id = o.endpoint_id
            RETURNING d.event_id, d.endpoint_id, o.attempts, o.lease, o.leased_until
        ), superseded AS (
            INSERT INTO trunkline.attempts (lane, tenant_id, event_id, endpoint_id, attempt, started_at, outcome, error)
            SELECT $1, $2, event_id, endpoint_id, attempts, least($4, leased_until), 'superseded',
                   'cancelled while it was under way'
            FROM cancelled
            WHERE lease IS NOT NULL
            RETURNING lane
        )
        SELECT count(*) AS "cancelled!" FROM cancelled
        "#,
        lane.number(),
        tenant_id.as_str(),
        batch,
        now,
    )
    .fetch_one(connection)
    .await?;
    Ok(u64::try_from(cancelled).unwrap_or(0))
}

async fn remove_payloads(
    connection: &mut Connection,
    lane: Lane,
    tenant_id: &TenantId,
    batch: i64,
) -> Result<u64, StoreError> {
    // Removed, not set to NULL: the next batch finds what is left without stepping over what is done.
    let removed = sqlx::query!(
        r#"
        WITH batch AS (
            SELECT event_id
            FROM trunkline.payloads
            WHERE lane = $1 AND tenant_id = $2
            LIMIT $3
        )
        DELETE FROM trunkline.payloads AS p
        USING batch AS b
        WHERE p.lane = $1 AND p.tenant_id = $2 AND p.event_id = b.event_id
        "#,
        lane.number(),
        tenant_id.as_str(),
        batch,
    )
    .execute(connection)
    .await?;
    Ok(removed.rows_affected())
}

async fn remove_ordering_keys(
    connection: &mut Connection,
    lane: Lane,
    tenant_id: &TenantId,
    batch: i64,
) -> Result<u64, StoreError> {
    let removed = sqlx::query!(
        r#"
        WITH batch AS (
            SELECT key
            FROM trunkline.ordering_keys
            WHERE lane = $1 AND tenant_id = $2
            LIMIT $3
        )
        DELETE FROM trunkline.ordering_keys AS k
        USING batch AS b
        WHERE k.lane = $1 AND k.tenant_id = $2 AND k.key = b.key
        "#,
        lane.number(),
        tenant_id.as_str(),
        batch,
    )
    .execute(connection)
    .await?;
    Ok(removed.rows_affected())
}
