use std::panic::{AssertUnwindSafe, resume_unwind};

use chrono::{DateTime, Duration, Utc};
use futures_util::FutureExt as _;
use trunkline_domain::{EventId, ReplayId, TenantId};
use uuid::Uuid;

use super::manage::Row;
use super::plan::{Plan, PlannedEvent, plan};
use super::{Replay, ReplaySpec, ReplayState};
use crate::{Connection, StoreError};

/// The most deliveries of one step, and the fewest: about a second's worth of the rate, so that a pause or a cancel takes
/// effect within that time.
const DELIVERIES_MAX: u32 = 500;

/// How long a replay whose step failed waits: the others go on meanwhile.
const PUT_OFF: Duration = Duration::seconds(2);

/// A step that was made.
#[derive(Debug)]
pub struct Stepped {
    /// Of which replay.
    pub replay_id: ReplayId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Deliveries that are due now: tell the workers to look, after the commit.
    pub replayed: u64,
    /// The replay came to its end.
    pub is_done: bool,
}

/// When the next step of any replay is due; `None` = none runs.
///
/// # Errors
/// When the database is not available.
pub async fn next_step_at(connection: &mut Connection) -> Result<Option<DateTime<Utc>>, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"
        SELECT step_at
        FROM trunkline.replays
        WHERE state = 'running'
        ORDER BY step_at
        LIMIT 1
        "#
    )
    .fetch_optional(connection)
    .await?)
}

/// Makes the next step of the replay that has waited longest, if any is due: events looked at, deliveries made due, progress
/// written, all or nothing in one transaction. A replay whose step somebody else is making is passed over, so that no two
/// workers make the same step.
///
/// # Errors
/// When the database is not available, or refuses the step; that replay then waits a little.
pub async fn step(connection: &mut Connection, now: DateTime<Utc>) -> Result<Option<Stepped>, StoreError> {
    let mut transaction = connection.begin().await?;
    let Some(replay) = take(&mut transaction, now).await? else {
        return Ok(None);
    };
    let made = AssertUnwindSafe(make(&mut transaction, &replay, now)).catch_unwind().await;
    match made {
        Ok(Ok(stepped)) => {
            transaction.commit().await?;
            Ok(Some(stepped))
        }
        failed => {
            transaction.rollback().await?;
            // Also where it panicked: else this replay would be the next again, before all others.
            put_off(connection, replay.replay_id, now + PUT_OFF).await?;
            failed.unwrap_or_else(|panic| resume_unwind(panic)).map(Some)
        }
    }
}

async fn make(
    connection: &mut Connection,
    replay: &Replay,
    now: DateTime<Utc>,
) -> Result<Stepped, StoreError> {
    let Plan { events, is_last } = plan(connection, &replay.spec, replay.next_event_id).await?;
    let budget = replay.rate_per_second.clamp(1, DELIVERIES_MAX) as usize;
    let taken = &events[..within(&events, budget)];
    let is_done = is_last && taken.len() == events.len();
    let sent: Vec<&PlannedEvent> =
        taken.iter().filter(|event| !event.is_payload_gone && !event.targets.is_empty()).collect();
    let replayed = make_due(connection, &replay.spec, &sent, now).await?;
    let found: Vec<Uuid> =
        sent.iter().filter(|event| event.is_unrouted).map(|event| event.event_id.as_uuid()).collect();
    mark_routed(connection, &replay.spec, &found).await?;
    let gone = taken.iter().filter(|event| event.is_payload_gone && !event.targets.is_empty()).count();
    let progress = Progress {
        next_event_id: taken.last().map_or(replay.next_event_id, |last| after(last.event_id)),
        seen: taken.len() as u64,
        replayed,
        payload_gone: gone as u64,
        step_at: now + pace(replayed, replay.rate_per_second),
        is_done,
    };
    advance(connection, replay.replay_id, &progress, now).await?;
    let tenant_id = replay.spec.tenant_id.clone();
    Ok(Stepped { replay_id: replay.replay_id, tenant_id, replayed, is_done })
}

/// How many of the events fit into a budget of deliveries; at least one does.
fn within(events: &[PlannedEvent], budget: usize) -> usize {
    let mut deliveries = 0;
    let fits = events.iter().take_while(|event| {
        let is_first = deliveries == 0;
        deliveries += if event.is_payload_gone { 0 } else { event.targets.len() };
        is_first || deliveries <= budget
    });
    fits.count()
}

/// The first id behind this one.
fn after(event_id: EventId) -> Uuid {
    Uuid::from_u128(event_id.as_uuid().as_u128().saturating_add(1))
}

/// How long so many deliveries take at that rate.
fn pace(replayed: u64, rate_per_second: u32) -> Duration {
    let millis = replayed.saturating_mul(1_000) / u64::from(rate_per_second.max(1));
    Duration::milliseconds(i64::try_from(millis).unwrap_or(i64::MAX))
}

async fn take(connection: &mut Connection, now: DateTime<Utc>) -> Result<Option<Replay>, StoreError> {
    sqlx::query_as!(
        Row,
        r#"
        SELECT replay_id, lane, tenant_id, state, status, type AS event_type, endpoint_id, after, before, to_endpoint_id,
               rate_per_second, next_event_id, seen, replayed, payload_gone, created_at, updated_at, finished_at
        FROM trunkline.replays
        WHERE state = 'running' AND step_at <= $1
        ORDER BY step_at
        LIMIT 1
        FOR UPDATE SKIP LOCKED
        "#,
        now,
    )
    .fetch_optional(connection)
    .await?
    .map(Replay::try_from)
    .transpose()
}

/// Makes these deliveries due: those that came to their end are opened again with a fresh budget, missing ones are made; what
/// is open already stays as it is. They keep no order, dead letters apart, behind which others may wait. Returns how many.
async fn make_due(
    connection: &mut Connection,
    spec: &ReplaySpec,
    events: &[&PlannedEvent],
    now: DateTime<Utc>,
) -> Result<u64, StoreError> {
    let pairs = || events.iter().flat_map(|event| event.targets.iter().map(move |target| (event, target)));
    let event_ids: Vec<Uuid> = pairs().map(|(event, _)| event.event_id.as_uuid()).collect();
    let endpoint_ids: Vec<Uuid> = pairs().map(|(_, endpoint_id)| endpoint_id.as_uuid()).collect();
    let due: Vec<DateTime<Utc>> =
        pairs().map(|(event, _)| event.deliver_at.map_or(now, |at| at.max(now))).collect();
    if event_ids.is_empty() {
        return Ok(0);
    }
    let made = sqlx::query!(
        r#"
        INSERT INTO trunkline.deliveries AS d (lane, tenant_id, event_id, endpoint_id, status, due_at, created_at)
        SELECT $1, $2, event_id, endpoint_id, 'PENDING', due_at, $6
        FROM unnest($3::uuid[], $4::uuid[], $5::timestamptz[]) AS k (event_id, endpoint_id, due_at)
        -- A replay may run for longer than an endpoint lives.
        WHERE EXISTS (
            SELECT FROM trunkline.endpoints AS e
            WHERE e.tenant_id = $2 AND e.endpoint_id = k.endpoint_id AND e.deleted_at IS NULL
        )
        ON CONFLICT (lane, tenant_id, event_id, endpoint_id) DO UPDATE
        SET status = 'PENDING', due_at = excluded.due_at, cycle_attempts = 0, finished_at = NULL, expedited = false,
            held = false, ordering_key = CASE WHEN d.status = 'FAILED' THEN d.ordering_key END
        WHERE d.finished_at IS NOT NULL
        "#,
        spec.lane.number(),
        spec.tenant_id.as_str(),
        &event_ids,
        &endpoint_ids,
        &due,
        now,
    )
    .execute(connection)
    .await?;
    Ok(made.rows_affected())
}

async fn mark_routed(
    connection: &mut Connection,
    spec: &ReplaySpec,
    events: &[Uuid],
) -> Result<(), StoreError> {
    let (Some(lowest), Some(highest)) = (events.iter().min(), events.iter().max()) else { return Ok(()) };
    sqlx::query!(
        r#"
        UPDATE trunkline.events
        SET routed = true
        WHERE lane = $1 AND tenant_id = $2 AND event_id = ANY($3) AND event_id BETWEEN $4 AND $5
        "#,
        spec.lane.number(),
        spec.tenant_id.as_str(),
        events,
        *lowest,
        *highest,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// What a step adds.
struct Progress {
    next_event_id: Uuid,
    seen: u64,
    replayed: u64,
    payload_gone: u64,
    step_at: DateTime<Utc>,
    is_done: bool,
}

async fn advance(
    connection: &mut Connection,
    replay_id: ReplayId,
    progress: &Progress,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let state = if progress.is_done { ReplayState::Done } else { ReplayState::Running };
    sqlx::query!(
        r#"
        UPDATE trunkline.replays
        SET next_event_id = $2, seen = seen + $3, replayed = replayed + $4, payload_gone = payload_gone + $5,
            step_at = $6, state = $7, finished_at = CASE WHEN $7 = 'done' THEN $8::timestamptz END, updated_at = $8
        WHERE replay_id = $1
        "#,
        replay_id.as_uuid(),
        progress.next_event_id,
        count(progress.seen),
        count(progress.replayed),
        count(progress.payload_gone),
        progress.step_at,
        state.as_str(),
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn put_off(
    connection: &mut Connection,
    replay_id: ReplayId,
    step_at: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query!(
        r#"
        UPDATE trunkline.replays
        SET step_at = $2
        WHERE replay_id = $1 AND state = 'running'
        "#,
        replay_id.as_uuid(),
        step_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use trunkline_domain::EndpointId;

    use super::*;

    fn events(targets: &[usize]) -> Vec<PlannedEvent> {
        let event = |count: &usize| PlannedEvent {
            event_id: EventId::from(Uuid::from_u128(1)),
            is_unrouted: false,
            is_payload_gone: false,
            deliver_at: None,
            targets: vec![EndpointId::from(Uuid::nil()); *count],
        };
        targets.iter().map(event).collect()
    }

    #[test]
    fn a_step_takes_what_its_rate_allows_and_always_something() {
        let table: [(&[usize], usize, usize); 7] = [
            (&[], 5, 0),
            (&[0, 0, 0], 1, 3),
            (&[1, 1, 1], 2, 2),
            (&[0, 1, 0, 1, 0, 1], 2, 5),
            (&[7, 1], 2, 1),
            (&[0, 7, 1], 2, 2),
            (&[2, 2], 3, 1),
        ];
        for (targets, budget, taken) in table {
            assert_eq!(within(&events(targets), budget), taken, "{targets:?} within {budget}");
        }
    }

    #[test]
    fn the_rate_decides_when_the_next_step_is_due() {
        assert_eq!(pace(500, 100), Duration::seconds(5));
        assert_eq!(pace(1, 10_000), Duration::zero());
        assert_eq!(pace(0, 1), Duration::zero());
    }
}
