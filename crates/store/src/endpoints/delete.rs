use chrono::{DateTime, Utc};
use trunkline_domain::{EndpointId, Lane, TenantId};

use crate::{Connection, StoreError};

/// Deliveries that one statement cancels: what waits for an endpoint may be any number, and locks are held until it is done.
const CANCELLED_MAX: i64 = 1_000;

/// Deletes an endpoint: nothing new comes, nothing is attempted, its secrets are removed, its name is free again; history keeps naming
/// it. `false` if there is no such endpoint. Its open deliveries are cancelled afterwards, by [`cancel_open`], or by whoever keeps
/// things up ([`crate::deliveries::cancel_of_deleted`]): of those there may be any number.
///
/// # Errors
/// When the database is not available.
pub async fn delete(
    connection: &mut Connection,
    tenant_id: &TenantId,
    endpoint_id: EndpointId,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let mut transaction = connection.begin().await?;
    if !mark_deleted(&mut transaction, tenant_id, endpoint_id, now).await? {
        return Ok(false);
    }
    remove_secrets(&mut transaction, tenant_id, endpoint_id).await?;
    transaction.commit().await?;
    Ok(true)
}

/// Cancels open deliveries of a deleted endpoint, 1,000 at most, and returns how many. Nobody waits behind these by an ordering
/// key: whoever does is of the same endpoint.
///
/// # Errors
/// When the database is not available, or a delivery is held for longer than `lock_timeout`.
pub async fn cancel_open(
    connection: &mut Connection,
    lane: Lane,
    tenant_id: &TenantId,
    endpoint_id: EndpointId,
    now: DateTime<Utc>,
) -> Result<u64, StoreError> {
    let cancelled = sqlx::query_scalar!(
        r#"
        WITH found AS MATERIALIZED (
            -- Each half has an index.
            (
                SELECT event_id
                FROM trunkline.deliveries
                WHERE lane = $1 AND tenant_id = $2 AND endpoint_id = $3 AND due_at IS NOT NULL
                LIMIT $5
            )
            UNION
            (
                SELECT event_id
                FROM trunkline.deliveries
                WHERE lane = $1 AND tenant_id = $2 AND endpoint_id = $3
                  AND ordering_key IS NOT NULL AND finished_at IS NULL AND held
                LIMIT $5
            )
        ), open AS (
            SELECT d.event_id, d.attempts, d.lease, d.leased_until
            FROM found
            JOIN trunkline.deliveries AS d
              ON d.lane = $1 AND d.tenant_id = $2 AND d.event_id = found.event_id AND d.endpoint_id = $3
            WHERE d.due_at IS NOT NULL OR d.held
            ORDER BY d.event_id
            LIMIT $5
            FOR UPDATE OF d
        ), cancelled AS (
            UPDATE trunkline.deliveries AS d
            SET status = 'CANCELLED', due_at = NULL, held = false, expedited = false,
                lease = NULL, leased_until = NULL, finished_at = $4
            FROM open AS o
            WHERE d.lane = $1 AND d.tenant_id = $2 AND d.event_id = o.event_id AND d.endpoint_id = $3
            RETURNING d.event_id, o.attempts, o.lease, o.leased_until
        ), superseded AS (
            INSERT INTO trunkline.attempts (lane, tenant_id, event_id, endpoint_id, attempt, started_at, outcome, error)
            SELECT $1, $2, event_id, $3, attempts, least($4, leased_until), 'superseded', 'cancelled while it was under way'
            FROM cancelled
            WHERE lease IS NOT NULL
        )
        SELECT count(*) AS "cancelled!" FROM cancelled
        "#,
        lane.number(),
        tenant_id.as_str(),
        endpoint_id.as_uuid(),
        now,
        CANCELLED_MAX,
    )
    .fetch_one(connection)
    .await?;
    Ok(u64::try_from(cancelled).unwrap_or(0))
}

async fn mark_deleted(
    connection: &mut Connection,
    tenant_id: &TenantId,
    endpoint_id: EndpointId,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        r#"
        UPDATE trunkline.endpoints AS e
        SET enabled = false, disabled_reason = 'manual', deleted_at = $3, updated_at = $3,
            -- Names stay, because history shows them; values may be credentials.
            custom_headers = (
                SELECT coalesce(jsonb_object_agg(name, ''), '{}')
                FROM jsonb_object_keys(e.custom_headers) AS name
            )
        WHERE tenant_id = $1 AND endpoint_id = $2 AND deleted_at IS NULL
        "#,
        tenant_id.as_str(),
        endpoint_id.as_uuid(),
        now,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

async fn remove_secrets(
    connection: &mut Connection,
    tenant_id: &TenantId,
    endpoint_id: EndpointId,
) -> Result<(), StoreError> {
    sqlx::query!(
        "DELETE FROM trunkline.endpoint_secrets WHERE tenant_id = $1 AND endpoint_id = $2",
        tenant_id.as_str(),
        endpoint_id.as_uuid(),
    )
    .execute(connection)
    .await?;
    Ok(())
}
