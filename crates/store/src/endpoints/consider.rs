use chrono::{DateTime, Utc};
use trunkline_domain::{DeliveryStatus, EndpointId, EventId, EventType, Lane, TenantId};
use uuid::Uuid;

use crate::{Connection, StoreError, row};

/// Endpoints that one explanation covers at most.
const ENDPOINTS_MAX: i64 = 1_000;

/// What is to be explained.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The tenant's lane.
    pub lane: Lane,
    /// Whose endpoints.
    pub tenant_id: &'a TenantId,
    /// The event whose deliveries are shown; `None` = a dry run, there is none.
    pub event_id: Option<EventId>,
    /// The event's type.
    pub event_type: Option<&'a EventType>,
    /// The payload for filters to judge; `None` where it may not be cast to jsonb, or is gone.
    pub payload: Option<&'a [u8]>,
}

/// How one endpoint stands to an event, as both are today.
#[derive(Debug, Clone)]
pub struct Considered {
    /// Its id.
    pub endpoint_id: EndpointId,
    /// Its name.
    pub name: String,
    /// Its address.
    pub url: String,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// Why new events do not match it: manual, gone or failing; `None` = it is enabled.
    pub disabled_reason: Option<String>,
    /// It was deleted; history names it.
    pub is_deleted: bool,
    /// It gets what Trunkline has to tell, and nothing else.
    pub is_operational: bool,
    /// Paused by hand.
    pub is_paused: bool,
    /// It asked for quiet until then.
    pub paused_until: Option<DateTime<Utc>>,
    /// Its breaker opened, until then.
    pub breaker_open_until: Option<DateTime<Utc>>,
    /// Whether its filter of types lets the event through.
    pub type_matches: bool,
    /// What its filter of payloads says.
    pub filter: FilterVerdict,
    /// The event's delivery to it.
    pub delivery: Option<ConsideredDelivery>,
}

/// What an endpoint's payload filter says of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilterVerdict {
    /// There is none.
    NoFilter,
    /// The payload was not shown to it.
    NotAsked,
    /// It lets the payload through.
    Passes,
    /// It does not.
    Fails,
    /// The path found no boolean in this payload, which does not match.
    NoBoolean,
    /// It could take too long, and is asked of no payload: it was saved under looser rules.
    Refused,
    /// All filters that would be asked take too many steps over this payload.
    TooManySteps,
}

/// A delivery, in short.
#[derive(Debug, Clone, Copy)]
pub struct ConsideredDelivery {
    /// How it stands.
    pub status: DeliveryStatus,
    /// Attempts ever started.
    pub attempts: u32,
    /// When it is attempted by itself.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// It waits for an earlier event of its ordering key.
    pub is_held: bool,
}

/// How the endpoints of a tenant stand to an event, oldest first: those that live, and deleted ones that have a delivery of
/// it. The rule for types and payloads is that of publishing.
///
/// # Errors
/// When the database is not available.
pub async fn consider(
    connection: &mut Connection,
    question: Question<'_>,
) -> Result<Vec<Considered>, StoreError> {
    let rows = sqlx::query!(
        r#"
        SELECT e.endpoint_id, e.name, e.url, e.created_at, e.disabled_reason, e.deleted_at IS NOT NULL AS "is_deleted!",
               e.operational, e.paused, e.paused_until, e.breaker_open_until,
               (e.event_types IS NULL OR EXISTS (
                   SELECT FROM unnest(e.event_types) AS wanted
                   WHERE $4::text = wanted OR (right(wanted, 2) = '.*' AND starts_with($4::text, left(wanted, -1)))
               )) AS "type_matches!",
               CASE
                   WHEN e.payload_filter IS NULL THEN 'none'
                   WHEN $5::bytea IS NULL THEN 'not asked'
                   ELSE coalesce(j.verdict, 'not asked')
               END AS "filter!",
               d.status::text AS "status?", d.attempts - (d.lease IS NOT NULL)::integer AS "attempts?",
               d.due_at AS "due_at?", d.held AS "held?"
        FROM trunkline.endpoints AS e
        LEFT JOIN trunkline.deliveries AS d
          ON d.lane = $1 AND d.tenant_id = $2 AND d.event_id = $3 AND d.endpoint_id = e.endpoint_id
        -- Those that take the event otherwise are judged, as when it is published.
        LEFT JOIN trunkline.judge($2, $4, $5) AS j ON j.endpoint_id = e.endpoint_id AND $5 IS NOT NULL
        WHERE e.tenant_id = $2 AND (e.deleted_at IS NULL OR d.status IS NOT NULL)
        ORDER BY e.created_at, e.endpoint_id
        LIMIT $6
        "#,
        question.lane.number(),
        question.tenant_id.as_str(),
        question.event_id.map(EventId::as_uuid) as Option<Uuid>,
        question.event_type.map(EventType::as_str) as Option<&str>,
        question.payload as Option<&[u8]>,
        ENDPOINTS_MAX,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|found| {
            let delivery = found.status.map(|word| {
                Ok::<_, StoreError>(ConsideredDelivery {
                    status: row::delivery_status(&word, found.endpoint_id)?,
                    attempts: found.attempts.map_or(0, row::unsigned),
                    next_attempt_at: found.due_at,
                    is_held: found.held.unwrap_or(false),
                })
            });
            Ok(Considered {
                endpoint_id: EndpointId::from(found.endpoint_id),
                name: found.name,
                url: found.url,
                created_at: found.created_at,
                disabled_reason: found.disabled_reason,
                is_deleted: found.is_deleted,
                is_operational: found.operational,
                is_paused: found.paused,
                paused_until: found.paused_until,
                breaker_open_until: found.breaker_open_until,
                type_matches: found.type_matches,
                filter: FilterVerdict::from_word(&found.filter),
                delivery: delivery.transpose()?,
            })
        })
        .collect()
}

impl FilterVerdict {
    fn from_word(word: &str) -> Self {
        match word {
            "none" => Self::NoFilter,
            "not asked" => Self::NotAsked,
            "passes" => Self::Passes,
            "no boolean" => Self::NoBoolean,
            "refused" => Self::Refused,
            "too many steps" => Self::TooManySteps,
            _ => Self::Fails,
        }
    }
}

/// Whether a tenant has an endpoint with this id. `None` = none, deleted or not; else whether it takes events: it lives and is
/// not the operational one.
///
/// # Errors
/// When the database is not available.
pub async fn takes_events(
    connection: &mut Connection,
    tenant_id: &TenantId,
    endpoint_id: EndpointId,
) -> Result<Option<bool>, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"
        SELECT deleted_at IS NULL AND NOT operational AS "takes_events!"
        FROM trunkline.endpoints
        WHERE tenant_id = $1 AND endpoint_id = $2
        "#,
        tenant_id.as_str(),
        endpoint_id.as_uuid(),
    )
    .fetch_optional(connection)
    .await?)
}
