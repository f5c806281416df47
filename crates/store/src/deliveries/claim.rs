use bytes::Bytes;
use chrono::{DateTime, Utc};
use trunkline_domain::{EndpointId, EventId, EventType, Lane};
use uuid::Uuid;

use super::{DeliveryKey, GivenBack, Lease, give_back};
use crate::citus::{self, Lanes};
use crate::days::Numbers;
use crate::events::IdRange;
use crate::{Connection, StoreError, row};

/// How much to claim of one endpoint.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// The endpoint's lane.
    pub lane: Lane,
    /// The endpoint.
    pub endpoint_id: EndpointId,
    /// At most so many deliveries.
    pub deliveries_max: u32,
    /// The endpoint is paused: only what was retried by hand.
    pub only_expedited: bool,
    /// Nothing that became due earlier waits: the claim need not step over what is done since, but not yet vacuumed.
    pub due_from: DateTime<Utc>,
}

/// What a claim goes by, beside what it wants.
#[derive(Debug, Clone, Copy)]
pub struct ClaimTerms<'a> {
    /// The token of this claim.
    pub lease: Lease,
    /// The database's time.
    pub now: DateTime<Utc>,
    /// How long it is good for.
    pub leased_until: DateTime<Utc>,
    /// Events outside the range are not looked at; it prunes partitions.
    pub range: IdRange,
    /// Numbers of workers that are known to be dead: their leases hold no longer.
    pub dead: &'a [i32],
}

/// A delivery that is ours until `leased_until`, with all that is needed to attempt it.
#[derive(Clone)]
pub struct Claimed {
    /// Which delivery.
    pub key: DeliveryKey,
    /// Proves that it is ours.
    pub lease: Lease,
    /// Since when it was due.
    pub due_at: DateTime<Utc>,
    /// This attempt's number, one sequence over all cycles.
    pub attempt: u32,
    /// This attempt's number in its cycle, which the attempt budget bounds.
    pub cycle_attempt: u32,
    /// The key that its endpoint delivers in order by, if it does.
    pub ordering_key: Option<String>,
    /// What happened.
    pub event_type: Option<EventType>,
    /// To be sent on.
    pub traceparent: Option<String>,
    /// This claim found a lease run out, and so had the one before: two workers in a row were lost with it.
    pub lost_again: bool,
    /// The exact bytes to sign and send; `None` if they were erased meanwhile.
    pub payload: Option<Bytes>,
}

impl Claimed {
    /// The size of the payload; 0 where it is gone.
    pub fn payload_bytes(&self) -> usize {
        self.payload.as_ref().map_or(0, Bytes::len)
    }
}

/// Claims due deliveries of the endpoints named, the longest due first, and commits: no transaction is open while they
/// are attempted. What another worker holds is skipped, not waited for.
///
/// A delivery whose lease ran out, or whose worker is dead, is claimed again; the attempt that was lost is written down as `abandoned`, so that
/// a delivery has as many rows of attempts as it counts.
///
/// # Errors
/// When the database is not available.
pub async fn claim(
    connection: &mut Connection,
    wanted: &[Wanted],
    terms: ClaimTerms<'_>,
) -> Result<Vec<Claimed>, StoreError> {
    let mut claimed = Vec::new();
    for part in citus::parts(connection, wanted, |one| one.lane).await? {
        match claim_of(connection, &part.rows, &part.lanes, terms).await {
            Ok(more) if claimed.is_empty() => claimed = more,
            Ok(more) => claimed.extend(more),
            Err(error) => {
                if !claimed.is_empty() {
                    // Nobody will hear of them. Where this fails too, their leases end.
                    let back = |Claimed { key, lease, .. }| GivenBack { key, lease, retry_at: None };
                    let back: Vec<_> = claimed.into_iter().map(back).collect();
                    let _ = give_back(connection, &back).await;
                }
                return Err(citus::forget_if_refused(connection, error));
            }
        }
    }
    Ok(claimed)
}

async fn claim_of(
    connection: &mut Connection,
    wanted: &[Wanted],
    of: &Lanes,
    terms: ClaimTerms<'_>,
) -> Result<Vec<Claimed>, StoreError> {
    let lanes: Vec<i16> = wanted.iter().map(|one| one.lane.number()).collect();
    let endpoints: Vec<Uuid> = wanted.iter().map(|one| one.endpoint_id.as_uuid()).collect();
    let counts: Vec<i64> = wanted.iter().map(|one| one.deliveries_max.into()).collect();
    let expedited: Vec<bool> = wanted.iter().map(|one| one.only_expedited).collect();
    let due_from: Vec<DateTime<Utc>> = wanted.iter().map(|one| one.due_from).collect();
    let dead: Vec<i64> = terms.dead.iter().copied().map(i64::from).collect();
    let rows = sqlx::query!(
        r#"
        WITH due AS MATERIALIZED (
            SELECT d.*
            FROM unnest($1::smallint[], $2::uuid[], $3::bigint[], $4::boolean[], $5::timestamptz[])
                 AS w (lane, endpoint_id, deliveries_max, only_expedited, due_from)
            -- Asking endpoint by endpoint keeps this flat: a filter over one list ordered by due time reads the whole
            -- backlog of every endpoint that may not be called now.
            CROSS JOIN LATERAL (
                SELECT lane, tenant_id, event_id, endpoint_id, due_at, leased_until
                FROM trunkline.deliveries
                WHERE lane = w.lane AND ($12::smallint[] IS NULL OR lane = ANY($12)) AND endpoint_id = w.endpoint_id
                  AND due_at >= w.due_from AND due_at <= $7
                  AND (leased_until IS NULL OR leased_until < $7 OR lease >> 32 = ANY($11))
                  AND (expedited OR NOT w.only_expedited)
                  AND event_id >= $9 AND event_id < $10
                ORDER BY due_at
                LIMIT w.deliveries_max
                FOR UPDATE SKIP LOCKED
            ) AS d
        ), claimed AS (
            -- No column of any index changes, so that the new version can stay on the row's page (HOT).
            UPDATE trunkline.deliveries AS d
            SET lease = $6, leased_until = $8, attempts = d.attempts + 1, cycle_attempts = d.cycle_attempts + 1
            FROM due
            WHERE d.lane = due.lane AND d.tenant_id = due.tenant_id
              AND d.event_id = due.event_id AND d.endpoint_id = due.endpoint_id
              AND d.event_id >= $9 AND d.event_id < $10
              AND ($12::smallint[] IS NULL OR d.lane = ANY($12))
            RETURNING d.lane, d.tenant_id, d.event_id, d.endpoint_id, d.attempts, d.cycle_attempts, d.ordering_key,
                      due.due_at, due.leased_until AS ran_out_at
        ), abandoned AS (
            INSERT INTO trunkline.attempts (lane, tenant_id, event_id, endpoint_id, attempt, started_at, outcome, error)
            SELECT lane, tenant_id, event_id, endpoint_id, attempts - 1, ran_out_at - ($8::timestamptz - $7), 'abandoned',
                   'the worker disappeared; what the endpoint saw is unknown'
            FROM claimed
            WHERE ran_out_at IS NOT NULL
            RETURNING lane
        )
        SELECT c.lane, c.tenant_id, c.event_id, c.endpoint_id, c.due_at AS "due_at!", c.attempts, c.cycle_attempts,
               c.ordering_key AS "ordering_key?",
               CASE WHEN c.ran_out_at IS NOT NULL THEN coalesce((
                   SELECT outcome = 'abandoned'
                   FROM trunkline.attempts
                   WHERE lane = c.lane AND tenant_id = c.tenant_id AND event_id = c.event_id
                     AND endpoint_id = c.endpoint_id AND attempt = c.attempts - 2
                     AND event_id >= $9 AND event_id < $10
                     AND ($12::smallint[] IS NULL OR lane = ANY($12))
                   LIMIT 1
               ), false) ELSE false END AS "lost_again!",
               e.type AS "type?", e.traceparent AS "traceparent?", p.payload AS "payload?"
        FROM claimed AS c
        -- LATERAL with LIMIT keeps these look-ups by key, whatever the planner thinks of a partition's size.
        CROSS JOIN LATERAL (
            SELECT type, traceparent
            FROM trunkline.events
            WHERE lane = c.lane AND tenant_id = c.tenant_id AND event_id = c.event_id
              AND event_id >= $9 AND event_id < $10
              AND ($12::smallint[] IS NULL OR lane = ANY($12))
            LIMIT 1
        ) AS e
        LEFT JOIN LATERAL (
            SELECT payload
            FROM trunkline.payloads
            WHERE lane = c.lane AND tenant_id = c.tenant_id AND event_id = c.event_id
              AND event_id >= $9 AND event_id < $10
              AND ($12::smallint[] IS NULL OR lane = ANY($12))
            LIMIT 1
        ) AS p ON true
        "#,
        &lanes,
        &endpoints,
        &counts,
        &expedited,
        &due_from,
        terms.lease.0,
        terms.now,
        terms.leased_until,
        terms.range.from,
        terms.range.before,
        &dead,
        of.parameter() as _,
    )
    .fetch_all(connection.over_days(terms.range, of, Numbers { from: 9, before: 10, lanes: 12 }))
    .await?;
    rows.into_iter()
        .map(|found| {
            let event_id = EventId::from(found.event_id);
            Ok(Claimed {
                key: DeliveryKey {
                    lane: row::lane("deliveries", found.lane, event_id)?,
                    tenant_id: row::tenant_id("deliveries", found.tenant_id)?,
                    event_id,
                    endpoint_id: EndpointId::from(found.endpoint_id),
                },
                lease: terms.lease,
                due_at: found.due_at,
                attempt: row::unsigned(found.attempts),
                cycle_attempt: row::unsigned(found.cycle_attempts),
                ordering_key: found.ordering_key,
                event_type: row::event_type(found.r#type, event_id)?,
                traceparent: found.traceparent,
                lost_again: found.lost_again,
                payload: found.payload.map(Bytes::from),
            })
        })
        .collect()
}
