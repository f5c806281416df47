use chrono::{DateTime, Utc};
use trunkline_domain::AttemptOutcome;

use super::key::KeyColumns;
use super::{DeliveryKey, Lease};
use crate::citus::{self, Lanes};
use crate::events::ordering::{self, KeyName};
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
    /// The key that somebody may wait behind, if this brings the delivery to its end.
    fn ends(&self) -> Option<KeyName> {
        let key = self.ordering_key.as_ref().filter(|_| !matches!(self.next, NextStep::RetryAt(_)))?;
        Some(KeyName { lane: self.key.lane, tenant_id: self.key.tenant_id.clone(), key: key.clone() })
    }
}

/// Like [`record`], and lets those go that waited behind deliveries that came to their end, in the same transaction. Without
/// such deliveries it is the same statement and no more. Returns how many outcomes were written, and whom to tell.
///
/// # Errors
/// [`StoreError::Locked`] when somebody publishes with one of the keys for longer than `lock_timeout`; when the database is not
/// available.
pub async fn record_in_order(
    connection: &mut Connection,
    ended: &[EndedAttempt],
    worker: &str,
    now: DateTime<Utc>,
) -> Result<(usize, Vec<Hint>), StoreError> {
    let mut names: Vec<KeyName> = ended.iter().filter_map(EndedAttempt::ends).collect();
    if names.is_empty() {
        return Ok((record(connection, ended, worker, now).await?, Vec::new()));
    }
    names.sort();
    names.dedup();
    let mut transaction = connection.begin().await?;
    ordering::lock(&mut transaction, &names).await?;
    let recorded = record(&mut transaction, ended, worker, now).await?;
    let released = ordering::release(&mut transaction, &names, now).await?;
    transaction.commit().await?;
    Ok((recorded, released))
}

/// Writes many outcomes in one statement: the status row and the attempt's row together, and only where the lease
/// still stands. Returns how many did; the others were claimed, retried or cancelled by somebody else meanwhile, and
/// nothing of them is changed.
///
/// # Errors
/// When the database is not available.
pub async fn record(
    connection: &mut Connection,
    ended: &[EndedAttempt],
    worker: &str,
    now: DateTime<Utc>,
) -> Result<usize, StoreError> {
    let mut recorded = 0;
    for part in citus::parts(connection, ended, |one| one.key.lane).await? {
        let done = record_of(connection, &part.rows, &part.lanes, worker, now).await;
        recorded += done.map_err(|error| citus::forget_if_refused(connection, error))?;
    }
    Ok(recorded)
}

async fn record_of(
    connection: &mut Connection,
    ended: &[EndedAttempt],
    of: &Lanes,
    worker: &str,
    now: DateTime<Utc>,
) -> Result<usize, StoreError> {
    let keys = KeyColumns::of(ended.iter().map(|one| &one.key));
    let (lowest, highest) = keys.event_range();
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
                        $13::text[], $14::boolean[], $15::timestamptz[], $20::bytea[])
                 AS e (lane, tenant_id, event_id, endpoint_id, lease, attempt, started_at, duration_ms, status_code,
                       outcome, error, response_excerpt, url, is_delivered, due_at, response_headers)
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
              AND d.event_id BETWEEN $16 AND $17
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
        SELECT count(*) AS "recorded!" FROM recorded
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
        lowest,
        highest,
        worker,
        now,
        &headers as _,
        of.parameter() as _,
    )
    .fetch_one(connection)
    .await?;
    Ok(usize::try_from(recorded).unwrap_or(0))
}

fn saturating(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
