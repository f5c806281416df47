use std::collections::HashSet;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use trunkline_domain::{EndpointId, EventId, EventType, NewEvent, OrderingKey};
use uuid::Uuid;

use crate::wake::Hint;
use crate::{Connection, StoreError, row};

/// What becomes of events for which endpoints have payload filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filters<'a> {
    /// They are judged.
    Judged,
    /// The same, as far as those of each event's tenant weigh no more than this, one number an event: by it was decided how many events
    /// one statement can judge. Where they are heavier by now, the statement fails with [`StoreError::JudgedApart`] before it judges any.
    JudgedWithin(&'a [u64]),
    /// There should be none: the statement fails with [`StoreError::JudgedApart`], since judging takes its time.
    Apart,
}

/// Where published events go.
#[derive(Debug, Default)]
pub struct Routing {
    /// Events that no endpoint matched.
    pub unrouted: HashSet<EventId>,
    /// The endpoints for which deliveries were made, each once: what workers should be told.
    pub endpoints: Vec<Hint>,
}

/// Stores events, their payloads, and a delivery for every endpoint that matches, in one statement: all or nothing.
/// The caller answers its publishers after the commit. Where events have ordering keys, [`super::ordering`] goes around it.
///
/// # Errors
/// When the database is not available, or a tenant has a payload filter and `filters` are [`Filters::Apart`], or heavier ones than
/// [`Filters::JudgedWithin`] says. An id that exists already is refused by the primary key.
pub async fn publish(
    connection: &mut Connection,
    events: &[NewEvent<Bytes>],
    filters: Filters<'_>,
) -> Result<Routing, StoreError> {
    let lanes: Vec<i16> = events.iter().map(|event| event.lane.number()).collect();
    let tenants: Vec<&str> = events.iter().map(|event| event.tenant_id.as_str()).collect();
    let ids: Vec<Uuid> = events.iter().map(|event| event.event_id.as_uuid()).collect();
    let types: Vec<Option<&str>> =
        events.iter().map(|event| event.event_type.as_ref().map(EventType::as_str)).collect();
    let times: Vec<DateTime<Utc>> = events.iter().map(|event| event.created_at).collect();
    let deliver_at: Vec<Option<DateTime<Utc>>> = events.iter().map(|event| event.deliver_at).collect();
    let ordering_keys: Vec<Option<&str>> =
        events.iter().map(|event| event.ordering_key.as_ref().map(OrderingKey::as_str)).collect();
    let judged: Vec<bool> = events.iter().map(|event| event.is_judged).collect();
    let traces: Vec<Option<&str>> = events.iter().map(|event| event.traceparent.as_deref()).collect();
    let hashes: Vec<&[u8]> = events.iter().map(|event| event.payload_sha256.as_slice()).collect();
    let payloads: Vec<&[u8]> = events.iter().map(|event| event.payload.as_ref()).collect();
    let weights: Option<Vec<i64>> = match filters {
        Filters::JudgedWithin(weights) => {
            Some(weights.iter().map(|weight| i64::try_from(*weight).unwrap_or(i64::MAX)).collect())
        }
        Filters::Judged | Filters::Apart => None,
    };
    let rows = sqlx::query!(
        r#"
        WITH incoming AS (
            SELECT *
            FROM unnest($1::smallint[], $2::text[], $3::uuid[], $4::text[],
                        $5::timestamptz[], $6::text[], $7::bytea[], $8::bytea[], $9::timestamptz[], $10::text[],
                        $11::boolean[])
                 AS i (lane, tenant_id, event_id, type, created_at, traceparent, payload_sha256, payload, deliver_at,
                       ordering_key, is_judged)
        ), matched AS (
            SELECT i.lane, i.tenant_id, i.event_id, i.created_at, greatest(i.deliver_at, i.created_at) AS due_at,
                   CASE WHEN e.ordered THEN i.ordering_key END AS ordering_key, e.endpoint_id
            FROM incoming AS i
            JOIN trunkline.endpoints AS e
                ON e.tenant_id = i.tenant_id AND e.enabled AND NOT e.operational AND e.deleted_at IS NULL
            -- trunkline.publish in SQL matches by the same words; one corpus tests both.
            WHERE (
                e.event_types IS NULL OR EXISTS (
                    SELECT FROM unnest(e.event_types) AS wanted
                    WHERE i.type = wanted OR (right(wanted, 2) = '.*' AND starts_with(i.type, left(wanted, -1)))
                )
            )
            AND (e.payload_filter IS NULL OR (NOT $12 AND trunkline.judge_apart(i.tenant_id)))
            UNION ALL
            SELECT i.lane, i.tenant_id, i.event_id, i.created_at, greatest(i.deliver_at, i.created_at),
                   CASE WHEN j.ordered THEN i.ordering_key END, j.endpoint_id
            FROM incoming AS i
            CROSS JOIN LATERAL trunkline.judge(i.tenant_id, i.type, i.payload) AS j
            WHERE $12 AND i.is_judged AND j.verdict = 'passes'
            -- It depends on no event, so that PostgreSQL asks it once, before anything is judged.
            AND NOT EXISTS (
                SELECT
                FROM unnest($2, $13::bigint[]) AS counted (tenant_id, weight)
                WHERE CASE
                    WHEN counted.weight < (
                        SELECT sum(e.filter_weight)
                        FROM trunkline.endpoints AS e
                        WHERE e.tenant_id = counted.tenant_id AND e.payload_filter IS NOT NULL AND e.deleted_at IS NULL
                    ) THEN trunkline.judge_apart(counted.tenant_id)
                END
            )
        ), fanned_out AS (
            INSERT INTO trunkline.deliveries
                (lane, tenant_id, event_id, endpoint_id, status, due_at, created_at, ordering_key)
            SELECT lane, tenant_id, event_id, endpoint_id, 'PENDING', due_at, created_at, ordering_key
            FROM matched
            RETURNING lane
        ), kept AS (
            INSERT INTO trunkline.payloads (lane, tenant_id, event_id, payload)
            SELECT lane, tenant_id, event_id, payload
            FROM incoming
            RETURNING lane
        ), stored AS (
            INSERT INTO trunkline.events
                (lane, tenant_id, event_id, type, payload_sha256, payload_bytes, created_at, deliver_at,
                 ordering_key, traceparent, routed)
            SELECT lane, tenant_id, event_id, type, payload_sha256, octet_length(payload), created_at, deliver_at,
                   ordering_key, traceparent, event_id IN (SELECT event_id FROM matched)
            FROM incoming
            RETURNING lane
        )
        SELECT DISTINCT lane AS "lane?", tenant_id AS "tenant_id?", endpoint_id AS "endpoint_id?", NULL::uuid AS unrouted
        FROM matched
        UNION ALL
        SELECT NULL, NULL, NULL, event_id
        FROM incoming
        WHERE event_id NOT IN (SELECT event_id FROM matched)
        "#,
        &lanes,
        &tenants as _,
        &ids,
        &types as _,
        &times,
        &traces as _,
        &hashes as _,
        &payloads as _,
        &deliver_at as _,
        &ordering_keys as _,
        &judged,
        filters != Filters::Apart,
        weights.as_deref(),
    )
    .fetch_all(connection)
    .await?;
    let mut routing = Routing::default();
    for found in rows {
        if let (Some(lane), Some(tenant_id), Some(endpoint_id)) =
            (found.lane, found.tenant_id, found.endpoint_id)
        {
            routing.endpoints.push(Hint {
                lane: row::lane("endpoints", lane, endpoint_id)?,
                tenant_id: row::tenant_id("endpoints", tenant_id)?,
                endpoint_id: EndpointId::from(endpoint_id),
            });
        }
        routing.unrouted.extend(found.unrouted.map(EventId::from));
    }
    Ok(routing)
}
