//! What a step of a replay would do: the next events of its range, and to which endpoints each is delivered again. It only
//! looks; a dry run is nothing but this.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use trunkline_domain::payload;
use trunkline_domain::{EndpointId, EventId, EventStatus, EventType};
use uuid::Uuid;

use super::ReplaySpec;
use crate::{Connection, StoreError};

/// Events that one plan looks at: it bounds what a step holds locked and in memory.
const EVENTS_MAX: usize = 500;

/// Payloads read at one time, where filters are to judge them: 64 KiB each at most.
const PAYLOADS_MAX: usize = 50;

/// Steps of payload filters in one plan, about half a second at worst. A plan that reaches it ends there, and the next goes on.
const STEPS_MAX: u64 = 5 * payload::STEPS_MAX;

/// The next events of a replay.
#[derive(Debug)]
pub struct Plan {
    /// In order of id, also those that nothing is done for.
    pub events: Vec<PlannedEvent>,
    /// No event follows.
    pub is_last: bool,
}

/// An event, and where it is delivered again.
#[derive(Debug)]
pub struct PlannedEvent {
    /// Which event.
    pub event_id: EventId,
    /// No endpoint matched it so far.
    pub is_unrouted: bool,
    /// Its payload was erased: nothing can be sent.
    pub is_payload_gone: bool,
    /// Not before then.
    pub deliver_at: Option<DateTime<Utc>>,
    /// The endpoints; empty where the event does not meet the replay's conditions.
    pub targets: Vec<EndpointId>,
}

/// Looks at the next events from `from` on, 500 at most.
///
/// # Errors
/// When the database is not available.
pub async fn plan(connection: &mut Connection, spec: &ReplaySpec, from: Uuid) -> Result<Plan, StoreError> {
    let mut found = events(connection, spec, from).await?;
    let mut is_last = found.len() < EVENTS_MAX;
    let wants = |wanted: bool, event: &Found| event.passes && event.routed == wanted;
    let routed: Vec<Uuid> = match spec.status {
        Some(EventStatus::Unrouted) => Vec::new(),
        _ => found.iter().filter(|event| wants(true, event)).map(|event| event.event_id).collect(),
    };
    // What never had a delivery had none to that endpoint either.
    let takes_unrouted =
        spec.endpoint_id.is_none() && matches!(spec.status, None | Some(EventStatus::Unrouted));
    let unrouted: Vec<&Found> = found.iter().filter(|event| takes_unrouted && wants(false, event)).collect();
    let mut targets: HashMap<Uuid, Vec<EndpointId>> = HashMap::new();
    let mut stopped_before = None;
    match spec.to_endpoint_id {
        Some(to) => {
            let had: HashSet<Uuid> =
                finished(connection, spec, &routed).await?.into_iter().map(|(event, _)| event).collect();
            let all = had.into_iter().chain(unrouted.iter().map(|event| event.event_id));
            targets.extend(all.map(|event| (event, vec![to])));
        }
        None => {
            let mut pairs = finished(connection, spec, &routed).await?;
            let matching = matching(connection, spec, &unrouted).await?;
            pairs.extend(matching.pairs);
            stopped_before = matching.stopped_before;
            for (event, endpoint) in pairs {
                targets.entry(event).or_default().push(EndpointId::from(endpoint));
            }
        }
    }
    if let Some(next) = stopped_before {
        found.retain(|event| event.event_id < next);
        is_last = false;
    }
    let events = found.into_iter().map(|event| PlannedEvent {
        event_id: EventId::from(event.event_id),
        is_unrouted: !event.routed,
        is_payload_gone: !event.has_payload,
        deliver_at: event.deliver_at,
        targets: targets.remove(&event.event_id).unwrap_or_default(),
    });
    Ok(Plan { events: events.collect(), is_last })
}

struct Found {
    event_id: Uuid,
    event_type: Option<String>,
    deliver_at: Option<DateTime<Utc>>,
    routed: bool,
    passes: bool,
    has_payload: bool,
}

/// The next events of the range, with whether each meets the replay's conditions: those that do not are returned too, so that
/// a step moves past them.
async fn events(
    connection: &mut Connection,
    spec: &ReplaySpec,
    from: Uuid,
) -> Result<Vec<Found>, StoreError> {
    // Ids of that very millisecond are let in; the condition on the time itself is exact.
    let until = EventId::first_at(spec.before + chrono::Duration::milliseconds(1)).as_uuid();
    Ok(sqlx::query_as!(
        Found,
        r#"
        SELECT e.event_id, e.type AS event_type, e.deliver_at, e.routed,
               (($5::text IS NULL OR e.type IS NOT DISTINCT FROM $5) AND e.created_at > $6 AND e.created_at < $7
                AND NOT (EXISTS (SELECT FROM trunkline.short_retentions WHERE tenant_id = $2) AND e.event_id < trunkline.kept_from($2, e.type))) AS "passes!",
               p.is_there IS TRUE AS "has_payload!"
        FROM (
            SELECT event_id, type, deliver_at, routed, created_at
            FROM trunkline.events
            WHERE lane = $1 AND tenant_id = $2 AND event_id >= $3 AND event_id < $4
            ORDER BY event_id
            LIMIT $8
        ) AS e
        LEFT JOIN LATERAL (
            SELECT payload IS NOT NULL AS is_there
            FROM trunkline.payloads
            WHERE lane = $1 AND tenant_id = $2 AND event_id = e.event_id AND event_id >= $3 AND event_id < $4
            LIMIT 1
        ) AS p ON true
        ORDER BY e.event_id
        "#,
        spec.lane.number(),
        spec.tenant_id.as_str(),
        from,
        until,
        spec.event_type.as_ref().map(EventType::as_str),
        spec.after,
        spec.before,
        i64::try_from(EVENTS_MAX).unwrap_or(i64::MAX),
    )
    .fetch_all(connection)
    .await?)
}

/// The deliveries of these events that came to the end which the replay asks for. Without another endpoint to deliver to, only
/// those whose endpoint still lives.
async fn finished(
    connection: &mut Connection,
    spec: &ReplaySpec,
    events: &[Uuid],
) -> Result<Vec<(Uuid, Uuid)>, StoreError> {
    let (Some(lowest), Some(highest)) = (events.iter().min(), events.iter().max()) else {
        return Ok(Vec::new());
    };
    let rows = sqlx::query!(
        r#"
        SELECT d.event_id, d.endpoint_id
        FROM unnest($3::uuid[]) AS k (event_id)
        CROSS JOIN LATERAL (
            SELECT event_id, endpoint_id
            FROM trunkline.deliveries
            WHERE lane = $1 AND tenant_id = $2 AND event_id = k.event_id AND event_id BETWEEN $4 AND $5
              AND finished_at IS NOT NULL
              AND ($6::text IS NULL OR status = $6::trunkline.delivery_status)
              AND ($7::uuid IS NULL OR endpoint_id = $7)
        ) AS d
        WHERE $8 OR EXISTS (
            SELECT FROM trunkline.endpoints
            WHERE tenant_id = $2 AND endpoint_id = d.endpoint_id AND deleted_at IS NULL
        )
        "#,
        spec.lane.number(),
        spec.tenant_id.as_str(),
        events,
        *lowest,
        *highest,
        spec.status.map(EventStatus::as_str),
        spec.endpoint_id.map(EndpointId::as_uuid),
        spec.to_endpoint_id.is_some(),
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|found| (found.event_id, found.endpoint_id)).collect())
}

/// Which endpoints match which events.
#[derive(Default)]
struct Matching {
    pairs: Vec<(Uuid, Uuid)>,
    /// This event and those behind it were not judged: there was enough to do.
    stopped_before: Option<Uuid>,
}

/// The endpoints that match these events now, by the rule of publishing.
async fn matching(
    connection: &mut Connection,
    spec: &ReplaySpec,
    events: &[&Found],
) -> Result<Matching, StoreError> {
    let mut matching = Matching::default();
    if events.is_empty() {
        return Ok(matching);
    }
    let weight = filter_weight(connection, spec).await?;
    let mut steps = 0;
    for some in events.chunks(PAYLOADS_MAX) {
        let ids: Vec<Uuid> = some.iter().map(|event| event.event_id).collect();
        let judged = match weight {
            Some(weight) => judged(connection, spec, &ids, weight).await?,
            None => HashMap::new(),
        };
        // One event takes less than that, so that each plan moves on.
        let fits = ids.iter().take_while(|id| {
            steps += judged.get(*id).copied().unwrap_or(0);
            steps <= STEPS_MAX
        });
        let fitting = fits.count();
        let (now, later) = some.split_at(fitting);
        matching.pairs.extend(match_some(connection, spec, now, &ids[..fitting], &judged).await?);
        if let Some(next) = later.first() {
            matching.stopped_before = Some(next.event_id);
            break;
        }
    }
    Ok(matching)
}

/// Steps that the tenant's payload filters take for each item of a payload; `None` = it has none.
async fn filter_weight(connection: &mut Connection, spec: &ReplaySpec) -> Result<Option<u64>, StoreError> {
    let weight = sqlx::query_scalar!(
        r#"
        SELECT sum(coalesce(filter_weight, 0))
        FROM trunkline.endpoints
        WHERE tenant_id = $1 AND enabled AND deleted_at IS NULL AND payload_filter IS NOT NULL
        "#,
        spec.tenant_id.as_str(),
    )
    .fetch_one(connection)
    .await?;
    Ok(weight.map(|weight| weight.try_into().unwrap_or_default()))
}

/// Which of these events have a payload that filters may judge, and the steps that it takes.
async fn judged(
    connection: &mut Connection,
    spec: &ReplaySpec,
    events: &[Uuid],
    weight: u64,
) -> Result<HashMap<Uuid, u64>, StoreError> {
    let rows = sqlx::query!(
        r#"
        SELECT p.event_id, p.payload AS "payload!"
        FROM unnest($3::uuid[]) AS k (event_id)
        CROSS JOIN LATERAL (
            SELECT event_id, payload
            FROM trunkline.payloads
            WHERE lane = $1 AND tenant_id = $2 AND event_id = k.event_id AND octet_length(payload) <= 65536
            LIMIT 1
        ) AS p
        "#,
        spec.lane.number(),
        spec.tenant_id.as_str(),
        events,
    )
    .fetch_all(connection)
    .await?;
    let is_judged = |payload: &[u8]| payload::inspect(payload).is_ok_and(|facts| facts.not_judged.is_none());
    let rows = rows.into_iter().filter(|one| is_judged(&one.payload));
    Ok(rows.map(|one| (one.event_id, payload::steps(&one.payload, weight))).collect())
}

async fn match_some(
    connection: &mut Connection,
    spec: &ReplaySpec,
    events: &[&Found],
    ids: &[Uuid],
    judged: &HashMap<Uuid, u64>,
) -> Result<Vec<(Uuid, Uuid)>, StoreError> {
    let types: Vec<Option<&str>> = events.iter().map(|event| event.event_type.as_deref()).collect();
    let judged: Vec<bool> = ids.iter().map(|id| judged.contains_key(id)).collect();
    let rows = sqlx::query!(
        r#"
        SELECT k.event_id AS "event_id!", e.endpoint_id AS "endpoint_id!"
        FROM unnest($3::uuid[], $4::text[], $5::boolean[]) AS k (event_id, type, judged)
        JOIN trunkline.endpoints AS e
          ON e.tenant_id = $2 AND e.enabled AND e.deleted_at IS NULL AND NOT e.operational
        WHERE (e.event_types IS NULL OR EXISTS (
                  SELECT FROM unnest(e.event_types) AS wanted
                  WHERE k.type = wanted OR (right(wanted, 2) = '.*' AND starts_with(k.type, left(wanted, -1)))
              ))
          AND e.payload_filter IS NULL
        UNION ALL
        SELECT k.event_id, j.endpoint_id
        FROM unnest($3::uuid[], $4::text[], $5::boolean[]) AS k (event_id, type, judged)
        JOIN LATERAL (
            SELECT payload
            FROM trunkline.payloads
            WHERE lane = $1 AND tenant_id = $2 AND event_id = k.event_id
            LIMIT 1
        ) AS p ON k.judged
        CROSS JOIN LATERAL trunkline.judge($2, k.type, p.payload) AS j
        WHERE j.verdict = 'passes'
        "#,
        spec.lane.number(),
        spec.tenant_id.as_str(),
        ids,
        &types as _,
        &judged,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|found| (found.event_id, found.endpoint_id)).collect())
}
