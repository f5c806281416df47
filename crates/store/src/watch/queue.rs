use std::collections::HashMap;

use chrono::{DateTime, Utc};
use trunkline_domain::{EndpointId, EventId, TenantId};
use uuid::Uuid;

use crate::citus::{self, Lanes};
use crate::deliveries::oldest_open;
use crate::events::IdRange;
use crate::{Connection, StoreError, row};

/// Endpoints with open work that one look sees; the next goes on behind them.
const ENDPOINTS_MAX: i64 = 2_000;

/// Looks that [`queue`] takes: beyond so many endpoints it tells of the first ones.
const LOOKS_MAX: usize = 10;

/// Deliveries counted of one endpoint, and of all.
const COUNTED_OF_ONE: i64 = 1_000;
const COUNTED_OF_ALL: i64 = 20_000;

/// Ids are made by the database's clock; events from beyond this would be a clock gone wrong.
const AHEAD: chrono::Duration = chrono::Duration::hours(1);

/// Whether an endpoint may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Gate {
    /// It may: what is due and waits, waits for a worker.
    Ready,
    /// It has a rate of its own, or most of the attempts under way that it may have: what waits for it waits for no worker.
    Limited,
    /// Paused, by hand or by Retry-After, or its breaker is open or being probed.
    Paused,
    /// Disabled or deleted, or its tenant is suspended.
    Blocked,
}

impl Gate {
    /// All, in the order of a list.
    pub const ALL: [Self; 4] = [Self::Ready, Self::Limited, Self::Paused, Self::Blocked];

    /// Its name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Limited => "limited",
            Self::Paused => "paused",
            Self::Blocked => "blocked",
        }
    }
}

/// An endpoint with open deliveries.
#[derive(Debug, Clone)]
pub struct WaitingEndpoint {
    /// Whose it is.
    pub tenant_id: TenantId,
    /// The endpoint.
    pub endpoint_id: EndpointId,
    /// What its tenant calls it.
    pub name: String,
    /// Whether it may be called.
    pub gate: Gate,
    /// The first failure since its last success.
    pub failing_since: Option<DateTime<Utc>>,
    /// Since when the oldest has been due that is not under way; `None` = nothing is.
    pub oldest_due_at: Option<DateTime<Utc>>,
    /// Due and not under way, as far as was counted.
    pub due: i64,
    /// Under way.
    pub in_flight: i64,
    /// Due later: retries, and what was published for later.
    pub scheduled: i64,
    /// Whether there are more than were counted.
    pub is_cut: bool,
}

/// The queue, added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Queue {
    /// Due and not under way, by [`Gate`].
    pub due: [i64; 4],
    /// Since when the oldest of those has been due, by [`Gate`].
    pub oldest_due_at: [Option<DateTime<Utc>>; 4],
    /// Under way.
    pub in_flight: i64,
    /// Due later.
    pub scheduled: i64,
    /// Not due before an earlier one with the same ordering key has come to its end; up to 20,000 are counted.
    pub held: i64,
    /// It is longer than was counted: what is due is an estimate, as old as the last vacuum.
    pub is_estimate: bool,
}

/// Adds up the queue, and tells by endpoint what waits, longest waiting first. It is exact while no endpoint has more than 1,000
/// open deliveries and no 2,000 of them more than 20,000. `endpoint_concurrency` = attempts under way at an endpoint that sets no
/// maximum of its own.
///
/// # Errors
/// When the database is not available.
pub async fn queue(
    connection: &mut Connection,
    now: DateTime<Utc>,
    endpoint_concurrency: usize,
) -> Result<(Queue, Vec<WaitingEndpoint>), StoreError> {
    let mut sweep = Sweep::default();
    let mut endpoints = Vec::new();
    for _ in 0..LOOKS_MAX {
        endpoints.extend(sweep.look(connection, now, endpoint_concurrency).await?);
        if sweep.is_at_its_end() {
            break;
        }
    }
    // Those of which nothing is due come last.
    endpoints.sort_by_key(|one| (one.oldest_due_at.is_none(), one.oldest_due_at));
    Ok((sweep.queue(), endpoints))
}

/// Goes over all endpoints with open deliveries, as many as one look sees at a time, and begins anew at their end.
#[derive(Debug, Default)]
pub struct Sweep {
    /// The last endpoint that was seen, by lane; `None` = the next look begins anew.
    seen: Option<(i16, Uuid)>,
    /// What this sweep has seen so far.
    sum: Sum,
    /// All of the last one.
    whole: Option<Queue>,
}

impl Sweep {
    /// Looks at the next endpoints.
    ///
    /// # Errors
    /// When the database is not available.
    pub async fn look(
        &mut self,
        connection: &mut Connection,
        now: DateTime<Utc>,
        endpoint_concurrency: usize,
    ) -> Result<Vec<WaitingEndpoint>, StoreError> {
        let (endpoints, last) = waiting(connection, now, endpoint_concurrency, self.seen).await?;
        let has_more = endpoints.len() >= ENDPOINTS_MAX as usize;
        self.sum.add(&endpoints);
        self.seen = last.filter(|_| has_more);
        if !has_more {
            let mut sum = std::mem::take(&mut self.sum);
            sum.queue.held = held(connection).await?;
            let estimate = if sum.is_cut() { Some(estimate(connection).await?) } else { None };
            self.whole = Some(sum.total(estimate));
        }
        Ok(endpoints)
    }

    /// Whether the last look came to the end.
    pub fn is_at_its_end(&self) -> bool {
        self.seen.is_none()
    }

    /// The queue as the last whole sweep saw it, and whatever this one has found that is older.
    pub fn queue(&self) -> Queue {
        let Some(whole) = self.whole else { return Queue { is_estimate: true, ..self.sum.queue } };
        let mut queue = whole;
        for (oldest, found) in queue.oldest_due_at.iter_mut().zip(self.sum.queue.oldest_due_at) {
            *oldest = [*oldest, found].into_iter().flatten().min();
        }
        queue
    }
}

/// Up to [`ENDPOINTS_MAX`] endpoints with open deliveries behind `seen`, and the last of them.
async fn waiting(
    connection: &mut Connection,
    now: DateTime<Utc>,
    endpoint_concurrency: usize,
    seen: Option<(i16, Uuid)>,
) -> Result<(Vec<WaitingEndpoint>, Option<(i16, Uuid)>), StoreError> {
    let Some(from) = oldest_open(connection).await? else { return Ok((Vec::new(), None)) };
    let range = IdRange { from, before: EventId::first_at(now + AHEAD).as_uuid() };
    let mut found = Vec::new();
    for of in citus::every_shard(connection).await? {
        let more = waiting_of(connection, &of, now, range, endpoint_concurrency, seen).await;
        found.extend(more.map_err(|error| citus::forget_if_refused(connection, error))?);
    }
    found.sort_by_key(|(place, _)| *place);
    found.truncate(ENDPOINTS_MAX as usize);
    let last = found.last().map(|(place, _)| *place);
    Ok((found.into_iter().map(|(_, endpoint)| endpoint).collect(), last))
}

/// Those of a shard, each with its lane and id.
async fn waiting_of(
    connection: &mut Connection,
    of: &Lanes,
    now: DateTime<Utc>,
    range: IdRange,
    endpoint_concurrency: usize,
    seen: Option<(i16, Uuid)>,
) -> Result<Vec<((i16, Uuid), WaitingEndpoint)>, StoreError> {
    // Behind everything that a lane below the first could have.
    let (lane, endpoint_id) = seen.unwrap_or((-1, Uuid::max()));
    let found = sqlx::query!(
        r#"
        WITH RECURSIVE active AS (
            -- A loose index scan, as in `active_endpoints`.
            (
                SELECT lane, endpoint_id, tenant_id
                FROM trunkline.deliveries
                WHERE (lane, endpoint_id) > ($5::smallint, $6::uuid) AND ($7::smallint[] IS NULL OR lane = ANY($7))
                  AND due_at IS NOT NULL AND event_id >= $2 AND event_id < $3
                ORDER BY lane, endpoint_id, due_at
                LIMIT 1
            )
            UNION ALL
            SELECT next.lane, next.endpoint_id, next.tenant_id
            FROM active
            CROSS JOIN LATERAL (
                SELECT lane, endpoint_id, tenant_id
                FROM trunkline.deliveries
                WHERE (lane, endpoint_id) > (active.lane, active.endpoint_id) AND ($7::smallint[] IS NULL OR lane = ANY($7))
                  AND due_at IS NOT NULL AND event_id >= $2 AND event_id < $3
                ORDER BY lane, endpoint_id, due_at
                LIMIT 1
            ) AS next
        )
        SELECT a.lane AS "lane!", a.endpoint_id AS "endpoint_id!", a.tenant_id AS "tenant_id!", e.name AS "name!",
               e.failing_since, e.in_flight_max, e.rate_per_second,
               CASE
                   WHEN NOT e.enabled OR t.status <> 'ACTIVE' THEN 'blocked'
                   -- A breaker that was open a moment ago is being probed, one attempt at a time.
                   WHEN e.paused OR e.paused_until > $1 OR e.breaker_open_until > $1::timestamptz - interval '1 minute' THEN 'paused'
                   ELSE 'ready'
               END AS "gate!",
               (
                   SELECT d.due_at
                   FROM trunkline.deliveries AS d
                   WHERE d.lane = a.lane AND d.endpoint_id = a.endpoint_id AND d.due_at <= $1
                     AND ($7::smallint[] IS NULL OR d.lane = ANY($7))
                     AND (d.leased_until IS NULL OR d.leased_until < $1)
                     AND d.event_id >= $2 AND d.event_id < $3
                   ORDER BY d.due_at
                   LIMIT 1
               ) AS oldest_due_at
        FROM (SELECT * FROM active LIMIT $4) AS a
        JOIN trunkline.endpoints AS e ON e.tenant_id = a.tenant_id AND e.endpoint_id = a.endpoint_id
        JOIN trunkline.tenants AS t ON t.tenant_id = a.tenant_id
        "#,
        now,
        range.from,
        range.before,
        ENDPOINTS_MAX,
        lane,
        endpoint_id,
        of.parameter() as _,
    )
    .fetch_all(&mut *connection)
    .await?;
    let lanes: Vec<i16> = found.iter().map(|one| one.lane).collect();
    let ids: Vec<Uuid> = found.iter().map(|one| one.endpoint_id).collect();
    let counts = count(connection, &lanes, &ids, of, now, range).await?;
    let is_all_cut = counts.values().map(Count::total).sum::<i64>() >= COUNTED_OF_ALL;
    found
        .into_iter()
        .map(|found| {
            let count = counts.get(&found.endpoint_id).copied().unwrap_or_default();
            let in_flight_max = found
                .in_flight_max
                .map_or(i64::try_from(endpoint_concurrency).unwrap_or(i64::MAX), i64::from);
            // Three quarters: what ended a moment ago is made up for by the next claim.
            let is_limited = found.rate_per_second.is_some()
                || count.in_flight.saturating_mul(4) >= in_flight_max.saturating_mul(3);
            let endpoint = WaitingEndpoint {
                tenant_id: row::tenant_id("deliveries", found.tenant_id)?,
                endpoint_id: EndpointId::from(found.endpoint_id),
                name: found.name,
                gate: match found.gate.as_str() {
                    "ready" if is_limited => Gate::Limited,
                    "ready" => Gate::Ready,
                    "paused" => Gate::Paused,
                    _ => Gate::Blocked,
                },
                failing_since: found.failing_since,
                oldest_due_at: found.oldest_due_at,
                due: count.due,
                in_flight: count.in_flight,
                scheduled: count.scheduled,
                is_cut: count.total() >= COUNTED_OF_ONE || (is_all_cut && count.total() == 0),
            };
            Ok(((found.lane, endpoint.endpoint_id.as_uuid()), endpoint))
        })
        .collect()
}

/// What waits for an earlier one with the same ordering key, up to [`COUNTED_OF_ALL`].
async fn held(connection: &mut Connection) -> Result<i64, StoreError> {
    let mut sum = 0;
    for of in citus::every_shard(connection).await? {
        let held = held_of(connection, &of).await;
        sum += held.map_err(|error| citus::forget_if_refused(connection, error))?;
    }
    Ok(sum.min(COUNTED_OF_ALL))
}

async fn held_of(connection: &mut Connection, of: &Lanes) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"
        SELECT count(*) AS "held!"
        FROM (
            SELECT
            FROM trunkline.deliveries
            WHERE held AND ordering_key IS NOT NULL AND finished_at IS NULL
              AND ($2::smallint[] IS NULL OR lane = ANY($2))
            LIMIT $1
        ) AS held
        "#,
        COUNTED_OF_ALL,
        of.parameter() as _,
    )
    .fetch_one(connection)
    .await?)
}

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    due: i64,
    in_flight: i64,
    scheduled: i64,
}

impl Count {
    fn total(&self) -> i64 {
        self.due + self.in_flight + self.scheduled
    }
}

struct Found {
    endpoint_id: Uuid,
    due: i64,
    in_flight: i64,
    scheduled: i64,
}

/// Counts the first open deliveries of each endpoint, in order of due time: those under way and due come before those that
/// are due later.
async fn count(
    connection: &mut Connection,
    lanes: &[i16],
    endpoints: &[Uuid],
    of: &Lanes,
    now: DateTime<Utc>,
    range: IdRange,
) -> Result<HashMap<Uuid, Count>, StoreError> {
    let rows = sqlx::query_as!(
        Found,
        r#"
        SELECT endpoint_id AS "endpoint_id!",
               count(*) FILTER (WHERE is_leased) AS "in_flight!",
               count(*) FILTER (WHERE is_due AND NOT is_leased) AS "due!",
               count(*) FILTER (WHERE NOT is_due AND NOT is_leased) AS "scheduled!"
        FROM (
            SELECT w.endpoint_id, d.due_at <= $3 AS is_due, coalesce(d.leased_until >= $3, false) AS is_leased
            FROM unnest($1::smallint[], $2::uuid[]) AS w (lane, endpoint_id)
            CROSS JOIN LATERAL (
                SELECT due_at, leased_until
                FROM trunkline.deliveries
                WHERE lane = w.lane AND endpoint_id = w.endpoint_id AND due_at IS NOT NULL
                  AND ($8::smallint[] IS NULL OR lane = ANY($8))
                  AND event_id >= $4 AND event_id < $5
                ORDER BY due_at
                LIMIT $6
            ) AS d
            LIMIT $7
        ) AS counted
        GROUP BY endpoint_id
        "#,
        lanes,
        endpoints,
        now,
        range.from,
        range.before,
        COUNTED_OF_ONE,
        COUNTED_OF_ALL,
        of.parameter() as _,
    )
    .fetch_all(connection)
    .await?;
    let count = |one: &Found| Count { due: one.due, in_flight: one.in_flight, scheduled: one.scheduled };
    Ok(rows.iter().map(|one| (one.endpoint_id, count(one))).collect())
}

/// How many deliveries are open, as the last vacuum or analyze of each partition saw it.
async fn estimate(connection: &mut Connection) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"
        SELECT coalesce(sum(greatest(part.reltuples, 0)), 0)::bigint AS "open!"
        FROM pg_inherits AS i
        JOIN pg_class AS part ON part.oid = i.inhrelid
        WHERE i.inhparent = 'trunkline.deliveries_due'::regclass
        "#
    )
    .fetch_one(connection)
    .await?)
}

/// Endpoints, added up.
#[derive(Debug, Default)]
struct Sum {
    queue: Queue,
    /// Those of which not all was counted, by [`Gate`].
    cut: [i64; 4],
}

impl Sum {
    fn add(&mut self, endpoints: &[WaitingEndpoint]) {
        let queue = &mut self.queue;
        for one in endpoints {
            let gate = one.gate as usize;
            queue.due[gate] += one.due;
            queue.in_flight += one.in_flight;
            queue.scheduled += one.scheduled;
            let oldest = &mut queue.oldest_due_at[gate];
            *oldest = [*oldest, one.oldest_due_at].into_iter().flatten().min();
            self.cut[gate] += i64::from(one.is_cut);
        }
    }

    fn is_cut(&self) -> bool {
        self.cut != [0; 4]
    }

    /// `estimate` = how many are open, where not all were counted: what is beyond the count is due, at the endpoints of which
    /// not all were counted, since those due later or under way stand at an end of the queue that was seen.
    fn total(self, estimate: Option<i64>) -> Queue {
        let mut queue = Queue { is_estimate: estimate.is_some(), ..self.queue };
        let counted = queue.due.iter().sum::<i64>() + queue.in_flight + queue.scheduled;
        let beyond = estimate.map_or(0, |open| (open - counted).max(0));
        let share = beyond.checked_div(self.cut.iter().sum()).unwrap_or(0);
        queue.due.iter_mut().zip(self.cut).for_each(|(due, cut)| *due += cut * share);
        queue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(gate: Gate, due: i64, is_cut: bool) -> WaitingEndpoint {
        WaitingEndpoint {
            tenant_id: "acme".parse().unwrap(),
            endpoint_id: EndpointId::from(Uuid::nil()),
            name: "default".to_owned(),
            gate,
            failing_since: None,
            oldest_due_at: Some(DateTime::UNIX_EPOCH + chrono::Duration::seconds(due)),
            due,
            in_flight: 1,
            scheduled: 2,
            is_cut,
        }
    }

    #[test]
    fn what_was_not_counted_is_due_where_the_count_was_cut() {
        let endpoints = [
            endpoint(Gate::Ready, 3, false),
            endpoint(Gate::Ready, 997, true),
            endpoint(Gate::Paused, 997, true),
            endpoint(Gate::Blocked, 5, false),
        ];
        let of = |endpoints: &[WaitingEndpoint], estimate| {
            let mut sum = Sum::default();
            sum.add(endpoints);
            sum.total(estimate)
        };
        let exact = of(&endpoints[..1], None);
        assert_eq!(
            (exact.due, exact.in_flight, exact.scheduled, exact.is_estimate),
            ([3, 0, 0, 0], 1, 2, false)
        );
        let queue = of(&endpoints, Some(1_002_014));
        assert_eq!(queue.due, [3 + 997 + 500_000, 0, 997 + 500_000, 5]);
        assert_eq!((queue.in_flight, queue.scheduled, queue.is_estimate), (4, 8, true));
        assert_eq!(queue.oldest_due_at[0], endpoints[0].oldest_due_at, "the oldest of two");
        // Statistics that are older than the queue take nothing away.
        assert_eq!(of(&endpoints, Some(10)).due, [1_000, 0, 997, 5]);
    }
}
