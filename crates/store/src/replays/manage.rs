use chrono::{DateTime, Utc};
use trunkline_domain::{EndpointId, EventId, EventStatus, EventType, ReplayId, TenantId};
use uuid::Uuid;

use super::{Replay, ReplaySpec, ReplayState};
use crate::{Connection, StoreError, row};

/// A replay to be started.
#[derive(Debug, Clone, Copy)]
pub struct NewReplay<'a> {
    /// Minted from `created_at`.
    pub replay_id: ReplayId,
    /// What it does.
    pub spec: &'a ReplaySpec,
    /// Deliveries made due a second at most, 1 to 10,000.
    pub rate_per_second: u32,
    /// Now, by the database's clock.
    pub created_at: DateTime<Utc>,
}

/// Stores a replay; the workers begin with it at once.
///
/// # Errors
/// When the database is not available.
pub async fn create(connection: &mut Connection, new: &NewReplay<'_>) -> Result<(), StoreError> {
    let spec = new.spec;
    sqlx::query!(
        r#"
        INSERT INTO trunkline.replays (replay_id, lane, tenant_id, state, status, type, endpoint_id, after, before,
                                       to_endpoint_id, rate_per_second, next_event_id, step_at, created_at, updated_at)
        VALUES ($1, $2, $3, 'running', $4, $5, $6, $7, $8, $9, $10, $11, $12, $12, $12)
        "#,
        new.replay_id.as_uuid(),
        spec.lane.number(),
        spec.tenant_id.as_str(),
        spec.status.map(EventStatus::as_str),
        spec.event_type.as_ref().map(EventType::as_str),
        spec.endpoint_id.map(EndpointId::as_uuid),
        spec.after,
        spec.before,
        spec.to_endpoint_id.map(EndpointId::as_uuid),
        i32::try_from(new.rate_per_second).unwrap_or(i32::MAX),
        EventId::first_at(spec.after).as_uuid(),
        new.created_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// How many replays of a tenant have not come to their end. Whoever asks at the same time waits until the transaction is over, so that
/// two do not both find room for the last one.
///
/// # Errors
/// When the database is not available.
pub async fn count_open(connection: &mut Connection, tenant_id: &TenantId) -> Result<u64, StoreError> {
    sqlx::query!(
        "SELECT pg_advisory_xact_lock(hashtextextended('trunkline.replays ' || $1, 0))",
        tenant_id.as_str(),
    )
    .execute(&mut *connection)
    .await?;
    let count = sqlx::query_scalar!(
        r#"
        SELECT count(*) AS "count!"
        FROM trunkline.replays
        WHERE tenant_id = $1 AND state IN ('running', 'paused')
        "#,
        tenant_id.as_str(),
    )
    .fetch_one(connection)
    .await?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// A replay of a tenant. Another tenant's is `None`, exactly like one that does not exist.
///
/// # Errors
/// When the database is not available.
pub async fn find(
    connection: &mut Connection,
    tenant_id: &TenantId,
    replay_id: ReplayId,
) -> Result<Option<Replay>, StoreError> {
    sqlx::query_as!(
        Row,
        r#"
        SELECT replay_id, lane, tenant_id, state, status, type AS event_type, endpoint_id, after, before, to_endpoint_id,
               rate_per_second, next_event_id, seen, replayed, payload_gone, created_at, updated_at, finished_at
        FROM trunkline.replays
        WHERE tenant_id = $1 AND replay_id = $2
        "#,
        tenant_id.as_str(),
        replay_id.as_uuid(),
    )
    .fetch_optional(connection)
    .await?
    .map(Replay::try_from)
    .transpose()
}

/// At most `limit` of a tenant's replays below the cursor, newest first.
///
/// # Errors
/// When the database is not available.
pub async fn list(
    connection: &mut Connection,
    tenant_id: &TenantId,
    below: Uuid,
    limit: i64,
) -> Result<Vec<Replay>, StoreError> {
    sqlx::query_as!(
        Row,
        r#"
        SELECT replay_id, lane, tenant_id, state, status, type AS event_type, endpoint_id, after, before, to_endpoint_id,
               rate_per_second, next_event_id, seen, replayed, payload_gone, created_at, updated_at, finished_at
        FROM trunkline.replays
        WHERE tenant_id = $1 AND replay_id < $2
        ORDER BY replay_id DESC
        LIMIT $3
        "#,
        tenant_id.as_str(),
        below,
        limit,
    )
    .fetch_all(connection)
    .await?
    .into_iter()
    .map(Replay::try_from)
    .collect()
}

/// Pauses, resumes or cancels a replay that has not come to its end; a step under way is waited for. Returns `false` if there
/// is no such replay.
///
/// # Errors
/// When the database is not available.
pub async fn steer(
    connection: &mut Connection,
    tenant_id: &TenantId,
    replay_id: ReplayId,
    state: ReplayState,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let changed = sqlx::query!(
        r#"
        UPDATE trunkline.replays
        SET state = $3, updated_at = $4, finished_at = CASE WHEN $3 IN ('done', 'cancelled') THEN $4::timestamptz END
        WHERE tenant_id = $1 AND replay_id = $2 AND state IN ('running', 'paused')
        "#,
        tenant_id.as_str(),
        replay_id.as_uuid(),
        state.as_str(),
        now,
    )
    .execute(connection)
    .await?;
    Ok(changed.rows_affected() > 0)
}

pub(super) struct Row {
    pub(super) replay_id: Uuid,
    pub(super) lane: i16,
    pub(super) tenant_id: String,
    pub(super) state: String,
    pub(super) status: Option<String>,
    pub(super) event_type: Option<String>,
    pub(super) endpoint_id: Option<Uuid>,
    pub(super) after: DateTime<Utc>,
    pub(super) before: DateTime<Utc>,
    pub(super) to_endpoint_id: Option<Uuid>,
    pub(super) rate_per_second: i32,
    pub(super) next_event_id: Uuid,
    pub(super) seen: i64,
    pub(super) replayed: i64,
    pub(super) payload_gone: i64,
    pub(super) created_at: DateTime<Utc>,
    pub(super) updated_at: DateTime<Utc>,
    pub(super) finished_at: Option<DateTime<Utc>>,
}

impl TryFrom<Row> for Replay {
    type Error = StoreError;

    fn try_from(found: Row) -> Result<Self, StoreError> {
        let replay_id = ReplayId::from(found.replay_id);
        let bad = |column| StoreError::BadRow { table: "replays", column, key: replay_id.to_string() };
        let count = |number: i64| u64::try_from(number).unwrap_or(0);
        Ok(Self {
            replay_id,
            spec: ReplaySpec {
                lane: row::lane("replays", found.lane, replay_id)?,
                tenant_id: row::tenant_id("replays", found.tenant_id)?,
                status: found.status.map(|word| row::event_status(&word, replay_id)).transpose()?,
                event_type: row::event_type(found.event_type, replay_id)?,
                endpoint_id: found.endpoint_id.map(EndpointId::from),
                after: found.after,
                before: found.before,
                to_endpoint_id: found.to_endpoint_id.map(EndpointId::from),
            },
            state: ReplayState::from_word(&found.state).ok_or_else(|| bad("state"))?,
            rate_per_second: row::unsigned(found.rate_per_second),
            next_event_id: found.next_event_id,
            seen: count(found.seen),
            replayed: count(found.replayed),
            payload_gone: count(found.payload_gone),
            created_at: found.created_at,
            updated_at: found.updated_at,
            finished_at: found.finished_at,
        })
    }
}
