use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use trunkline_domain::AttemptOutcome;

use super::key::KeyColumns;
use super::{DeliveryKey, Lease};
use crate::citus::{self, Lanes};
use crate::days::Numbers;
use crate::events::ordering::{self, KeyName, Line};
use crate::wake::Hint;
use crate::{Connection, StoreError};

/// What becomes of a delivery after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextStep {
    /// It is done.
    Delivered,
    /// It failed and is attempted again at that time.
    RetryAt(DateTime<Utc>),
    /// It failed and its budget is used up: a dead letter.
    GiveUp,
}

/// An attempt that ended, to be written down.
#[derive(Debug, Clone)]
pub struct EndedAttempt {
    /// Which delivery.
    pub key: DeliveryKey,
    /// Proves that the delivery is still ours.
    pub lease: Lease,
    /// The attempt's number.
    pub attempt: u32,
    /// When the call began.
    pub started_at: DateTime<Utc>,
    /// How long it took.
    pub duration_ms: u32,
    /// What was answered.
    pub status_code: Option<u16>,
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// Why it failed, in at most 500 characters.
    pub error: Option<String>,
    /// The beginning of the answer's body, at most 4 KiB.
    pub response_excerpt: Vec<u8>,
    /// The headers of an answer that is a failure, a line `name: value` each, at most 4 KiB.
    pub response_headers: Option<Vec<u8>>,
    /// What was called.
    pub url: String,
    /// What becomes of the delivery.
    pub next: NextStep,
    /// The key that its endpoint delivers in order by, if it does.
    pub ordering_key: Option<String>,
}

impl EndedAttempt {
    /// The line in which somebody may wait behind it, if this brings the delivery to its end.
    fn ends(&self) -> Option<Line> {
        let key = self.ordering_key.as_ref().filter(|_| !matches!(self.next, NextStep::RetryAt(_)))?;
        let DeliveryKey { lane, tenant_id, endpoint_id, .. } = &self.key;
        let name = KeyName { lane: *lane, tenant_id: tenant_id.clone(), key: key.clone() };
        Some(Line { name, endpoint_id: *endpoint_id })
    }
}

/// What came of a batch of outcomes.
#[derive(Debug, Default)]
pub struct Recorded {
    /// The indexes of those that were written. Of the others somebody else has claimed, retried or cancelled the delivery
    /// meanwhile, and nothing of them is changed.
    pub written: Vec<usize>,
    /// The indexes of those whose rows somebody else holds: to be tried again.
    pub locked: Vec<usize>,
    /// Whom to tell: what waited behind deliveries that came to their end goes on.
    pub released: Vec<Hint>,
    /// Lines whose key somebody publishes with just now: [`release_free`] is to be tried until it comes through.
    pub unreleased: Vec<Line>,
}

/// Like [`record`], and lets those go that waited behind deliveries that came to their end, in the same transaction, unless somebody
/// holds their key: an outcome waits for no publisher. Without such deliveries it is the same statement and no more.
///
/// # Errors
/// [`StoreError::Locked`] when somebody holds a row for longer than `lock_timeout` ([`record_free`] passes over it); when the
/// database is not available.
pub async fn record_in_order(
    connection: &mut Connection,
    ended: &[&EndedAttempt],
    worker: &str,
    now: DateTime<Utc>,
) -> Result<Recorded, StoreError> {
    if ended.iter().all(|one| one.ends().is_none()) {
        return Ok(Recorded {
            written: record(connection, ended, worker, now).await?,
            ..Recorded::default()
        });
    }
    let mut transaction = connection.begin().await?;
    let recorded = record_and_release(&mut transaction, ended, worker, now).await?;
    transaction.commit().await?;
    Ok(recorded)
}

/// Like [`record_in_order`], but passes over deliveries whose rows somebody else holds.
///
/// # Errors
/// When the database is not available.
pub async fn record_free(
    connection: &mut Connection,
    ended: &[&EndedAttempt],
    worker: &str,
    now: DateTime<Utc>,
) -> Result<Recorded, StoreError> {
    let mut transaction = connection.begin().await?;
    let held = held_by_others(&mut transaction, ended).await?;
    let free: Vec<usize> = (0..ended.len()).filter(|index| !held.contains(index)).collect();
    let chosen: Vec<&EndedAttempt> = free.iter().map(|index| ended[*index]).collect();
    let mut recorded = record_and_release(&mut transaction, &chosen, worker, now).await?;
    transaction.commit().await?;
    recorded.written.iter_mut().for_each(|index| *index = free[*index]);
    recorded.locked = held.into_iter().collect();
    Ok(recorded)
}

async fn record_and_release(
    connection: &mut Connection,
    ended: &[&EndedAttempt],
    worker: &str,
    now: DateTime<Utc>,
) -> Result<Recorded, StoreError> {
    let lines: BTreeSet<Line> = ended.iter().filter_map(|one| one.ends()).collect();
    let (free, unreleased) = ordering::lock_free(connection, lines).await?;
    let written = record(connection, ended, worker, now).await?;
    let released = ordering::release(connection, &free, now).await?;
    Ok(Recorded { written, locked: Vec::new(), released, unreleased })
}

/// Lets those go that wait in these lines behind deliveries that have come to their end, except where somebody publishes with the
/// key just now. Returns whom to tell, and the lines that are left.
///
/// # Errors
/// When the database is not available.
pub async fn release_free(
    connection: &mut Connection,
    lines: Vec<Line>,
    now: DateTime<Utc>,
) -> Result<(Vec<Hint>, Vec<Line>), StoreError> {
    let mut transaction = connection.begin().await?;
    let (free, unreleased) = ordering::lock_free(&mut transaction, lines).await?;
    let released = ordering::release(&mut transaction, &free, now).await?;
    transaction.commit().await?;
    Ok((released, unreleased))
}

/// The indexes of outcomes whose rows somebody else has locked; the others' are locked until the end of the transaction.
async fn held_by_others(
    connection: &mut Connection,
    ended: &[&EndedAttempt],
) -> Result<BTreeSet<usize>, StoreError> {
    let numbered: Vec<(usize, &EndedAttempt)> = ended.iter().copied().enumerate().collect();
    let mut held = BTreeSet::new();
    for part in citus::parts(connection, &numbered, |(_, one)| one.key.lane).await? {
        let found = held_of(connection, &part.rows, &part.lanes).await;
        held.extend(found.map_err(|error| citus::forget_if_refused(connection, error))?);
    }
    Ok(held)
}

async fn held_of(
    connection: &mut Connection,
    ended: &[(usize, &EndedAttempt)],
    of: &Lanes,
) -> Result<Vec<usize>, StoreError> {
    let keys = KeyColumns::of(ended.iter().map(|(_, one)| &one.key));
    let range = keys.event_range();
    let leases: Vec<i64> = ended.iter().map(|(_, one)| one.lease.0).collect();
    let held = sqlx::query_scalar!(
        r#"
        WITH ours AS MATERIALIZED (
            SELECT e.number, d.lane, d.tenant_id, d.event_id, d.endpoint_id
            FROM unnest($1::smallint[], $2::text[], $3::uuid[], $4::uuid[], $5::bigint[]) WITH ORDINALITY
                 AS e (lane, tenant_id, event_id, endpoint_id, lease, number)
            JOIN trunkline.deliveries AS d
                ON d.lane = e.lane AND d.tenant_id = e.tenant_id AND d.event_id = e.event_id
               AND d.endpoint_id = e.endpoint_id AND d.lease = e.lease
            WHERE d.event_id >= $6 AND d.event_id < $7 AND ($8::smallint[] IS NULL OR d.lane = ANY($8))
        ), free AS MATERIALIZED (
            SELECT o.number
            FROM ours AS o
            JOIN trunkline.deliveries AS d
                ON d.lane = o.lane AND d.tenant_id = o.tenant_id AND d.event_id = o.event_id
               AND d.endpoint_id = o.endpoint_id
            WHERE d.event_id >= $6 AND d.event_id < $7 AND ($8::smallint[] IS NULL OR d.lane = ANY($8))
            FOR UPDATE OF d SKIP LOCKED
        )
        SELECT number AS "number!" FROM ours
        EXCEPT
        SELECT number FROM free
        "#,
        &keys.lanes,
        &keys.tenants,
        &keys.events,
        &keys.endpoints,
        &leases,
        range.from,
        range.before,
        of.parameter() as _,
    )
    .fetch_all(connection.over_days(range, of, Numbers { from: 6, before: 7, lanes: 8 }))
    .await?;
    Ok(held.into_iter().filter_map(|number| at(ended, number)).collect())
}

/// Writes many outcomes in one statement: the status row and the attempt's row together, and only where the lease
/// still stands. Returns the indexes of those; the others were claimed, retried or cancelled by somebody else meanwhile, and
/// nothing of them is changed.
///
/// # Errors
/// When the database is not available.
pub async fn record(
    connection: &mut Connection,
    ended: &[&EndedAttempt],
    worker: &str,
    now: DateTime<Utc>,
) -> Result<Vec<usize>, StoreError> {
    let numbered: Vec<(usize, &EndedAttempt)> = ended.iter().copied().enumerate().collect();
    let mut written = Vec::with_capacity(ended.len());
    for part in citus::parts(connection, &numbered, |(_, one)| one.key.lane).await? {
        let done = record_of(connection, &part.rows, &part.lanes, worker, now).await;
        written.extend(done.map_err(|error| citus::forget_if_refused(connection, error))?);
    }
    Ok(written)
}

/// The index of the outcome that a statement calls by that number, from 1.
fn at(ended: &[(usize, &EndedAttempt)], number: i64) -> Option<usize> {
    let place = usize::try_from(number - 1).ok()?;
    ended.get(place).map(|(index, _)| *index)
}

async fn record_of(
    connection: &mut Connection,
    numbered: &[(usize, &EndedAttempt)],
    of: &Lanes,
    worker: &str,
    now: DateTime<Utc>,
) -> Result<Vec<usize>, StoreError> {
    let ended: Vec<&EndedAttempt> = numbered.iter().map(|(_, one)| *one).collect();
    let keys = KeyColumns::of(ended.iter().map(|one| &one.key));
    let range = keys.event_range();
    let leases: Vec<i64> = ended.iter().map(|one| one.lease.0).collect();
    let attempts: Vec<i32> = ended.iter().map(|one| saturating(one.attempt)).collect();
    let started: Vec<DateTime<Utc>> = ended.iter().map(|one| one.started_at).collect();
    let durations: Vec<i32> = ended.iter().map(|one| saturating(one.duration_ms)).collect();
    let codes: Vec<Option<i16>> =
        ended.iter().map(|one| one.status_code.and_then(|code| i16::try_from(code).ok())).collect();
    let outcomes: Vec<&str> = ended.iter().map(|one| one.outcome.as_str()).collect();
    let errors: Vec<Option<&str>> = ended.iter().map(|one| one.error.as_deref()).collect();
    let excerpts: Vec<Option<&[u8]>> = ended
        .iter()
        .map(|one| (!one.response_excerpt.is_empty()).then_some(one.response_excerpt.as_slice()))
        .collect();
    let headers: Vec<Option<&[u8]>> = ended.iter().map(|one| one.response_headers.as_deref()).collect();
    let urls: Vec<&str> = ended.iter().map(|one| one.url.as_str()).collect();
    let delivered: Vec<bool> = ended.iter().map(|one| one.next == NextStep::Delivered).collect();
    let due: Vec<Option<DateTime<Utc>>> = ended
        .iter()
        .map(|one| match one.next {
            NextStep::RetryAt(at) => Some(at),
            NextStep::Delivered | NextStep::GiveUp => None,
        })
        .collect();
    let recorded = sqlx::query_scalar!(
        r#"
        WITH ended AS (
            SELECT *
            FROM unnest($1::smallint[], $2::text[], $3::uuid[], $4::uuid[], $5::bigint[], $6::integer[],
                        $7::timestamptz[], $8::integer[], $9::smallint[], $10::text[], $11::text[], $12::bytea[],
                        $13::text[], $14::boolean[], $15::timestamptz[], $20::bytea[]) WITH ORDINALITY
                 AS e (lane, tenant_id, event_id, endpoint_id, lease, attempt, started_at, duration_ms, status_code,
                       outcome, error, response_excerpt, url, is_delivered, due_at, response_headers, number)
        ), recorded AS (
            UPDATE trunkline.deliveries AS d
            -- Constants, since reading a text as one of an enum is not immutable, and a node of a cluster would refuse it here.
            SET status = CASE
                    WHEN e.is_delivered THEN 'DELIVERED'::trunkline.delivery_status
                    ELSE 'FAILED'::trunkline.delivery_status
                END,
                due_at = e.due_at,
                lease = NULL,
                leased_until = NULL,
                expedited = false,
                last_attempt_at = e.started_at,
                last_status_code = e.status_code,
                last_error = e.error,
                finished_at = CASE WHEN e.due_at IS NULL THEN $19::timestamptz END
            FROM ended AS e
            WHERE d.lane = e.lane AND d.tenant_id = e.tenant_id AND d.event_id = e.event_id
              AND d.endpoint_id = e.endpoint_id
              AND d.lease = e.lease
              AND d.event_id >= $16 AND d.event_id < $17
              AND ($21::smallint[] IS NULL OR d.lane = ANY($21))
            RETURNING e.*
        ), written AS (
            INSERT INTO trunkline.attempts (lane, tenant_id, event_id, endpoint_id, attempt, started_at, duration_ms,
                                            status_code, outcome, error, response_excerpt, response_headers, url, worker)
            SELECT lane, tenant_id, event_id, endpoint_id, attempt, started_at, duration_ms,
                   status_code, outcome::trunkline.attempt_outcome, error, response_excerpt, response_headers, url, $18
            FROM recorded
            RETURNING lane
        )
        SELECT coalesce(array_agg(number), '{}') AS "recorded!" FROM recorded
        "#,
        &keys.lanes,
        &keys.tenants,
        &keys.events,
        &keys.endpoints,
        &leases,
        &attempts,
        &started,
        &durations,
        &codes as _,
        &outcomes as _,
        &errors as _,
        &excerpts as _,
        &urls as _,
        &delivered,
        &due as _,
        range.from,
        range.before,
        worker,
        now,
        &headers as _,
        of.parameter() as _,
    )
    .fetch_one(connection.over_days(range, of, Numbers { from: 16, before: 17, lanes: 21 }))
    .await?;
    Ok(recorded.into_iter().filter_map(|number: i64| at(numbered, number)).collect())
}

fn saturating(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
