use chrono::{DateTime, Utc};
use serde::Serialize;
use trunkline_domain::payload::NotJudged;
use trunkline_domain::{DeliveryStatus, EndpointId, EventType};
use trunkline_store::endpoints::{Considered, FilterVerdict};
use utoipa::ToSchema;

/// What the worker tells tenants of, and only their operational endpoint gets.
const OPERATIONAL_TYPES: [&str; 5] =
    ["endpoint.disabled", "endpoint.failing", "endpoint.recovered", "delivery.exhausted", "delivery.expired"];

/// How one endpoint stands to an event.
#[derive(Serialize, ToSchema)]
pub(crate) struct EndpointVerdict {
    #[schema(value_type = String)]
    endpoint_id: EndpointId,
    name: String,
    target_url: String,
    /// Whether the event goes to it, by what it is set to today.
    pub(crate) matches: bool,
    /// matches, operational_endpoint, operational_event, endpoint_deleted, endpoint_disabled, created_later, event_type,
    /// payload_filter, payload_filter_no_boolean, payload_filter_refused, payload_filters_too_costly, payload_too_large,
    /// payload_holds_nul, payload_exponent_too_large, payload_erased
    #[schema(value_type = String)]
    reason: Reason,
    /// The reason in a sentence.
    detail: String,
    /// Why a delivery to it would not be attempted now: disabled, paused, retry_after, breaker_open; null = it would be.
    waits: Option<&'static str>,
    /// The event's delivery to it, if there is one.
    delivery: Option<DeliveryInShort>,
}

/// A delivery, in short.
#[derive(Serialize, ToSchema)]
pub(crate) struct DeliveryInShort {
    #[schema(value_type = String)]
    status: DeliveryStatus,
    attempts: u32,
    next_attempt_at: Option<DateTime<Utc>>,
    /// It waits for an earlier event with the same ordering key.
    held: bool,
}

/// What is being explained.
pub(crate) struct Case<'a> {
    pub(crate) event_type: Option<&'a EventType>,
    /// When the event came; `None` = it has not.
    pub(crate) created_at: Option<DateTime<Utc>>,
    /// Why no filter was asked, if none was.
    pub(crate) unjudged: Option<Unjudged>,
    pub(crate) now: DateTime<Utc>,
}

/// Why a payload is not judged by filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unjudged {
    NotJudged(NotJudged),
    Erased,
}

/// The first thing that decides whether an endpoint matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reason {
    Matches,
    OperationalEndpoint,
    OperationalEvent,
    EndpointDeleted,
    EndpointDisabled,
    CreatedLater,
    EventType,
    PayloadFilter,
    PayloadFilterNoBoolean,
    PayloadFilterRefused,
    PayloadFiltersTooCostly,
    PayloadTooLarge,
    PayloadHoldsNul,
    PayloadExponentTooLarge,
    PayloadErased,
}

/// One verdict an endpoint, in the order given.
pub(crate) fn verdicts(considered: Vec<Considered>, case: &Case<'_>) -> Vec<EndpointVerdict> {
    let is_operational_event = case.event_type.is_some_and(|name| OPERATIONAL_TYPES.contains(&name.as_str()))
        && considered.iter().any(|one| one.is_operational && one.delivery.is_some());
    considered.into_iter().map(|one| verdict(one, case, is_operational_event)).collect()
}

fn verdict(endpoint: Considered, case: &Case<'_>, is_operational_event: bool) -> EndpointVerdict {
    let reason = reason(&endpoint, case, is_operational_event);
    let is_published = case.created_at.is_some();
    EndpointVerdict {
        matches: reason == Reason::Matches,
        reason,
        detail: detail(reason, &endpoint, is_published),
        waits: waits(&endpoint, case.now),
        delivery: endpoint.delivery.map(|delivery| DeliveryInShort {
            status: delivery.status,
            attempts: delivery.attempts,
            next_attempt_at: delivery.next_attempt_at,
            held: delivery.is_held,
        }),
        endpoint_id: endpoint.endpoint_id,
        name: endpoint.name,
        target_url: endpoint.url,
    }
}

fn reason(endpoint: &Considered, case: &Case<'_>, is_operational_event: bool) -> Reason {
    if endpoint.is_deleted {
        return Reason::EndpointDeleted;
    }
    if endpoint.is_operational {
        let is_meant = is_operational_event && endpoint.delivery.is_some();
        return if is_meant { Reason::Matches } else { Reason::OperationalEndpoint };
    }
    if is_operational_event {
        return Reason::OperationalEvent;
    }
    if endpoint.disabled_reason.is_some() {
        return Reason::EndpointDisabled;
    }
    if case.created_at.is_some_and(|at| endpoint.created_at > at) {
        return Reason::CreatedLater;
    }
    if !endpoint.type_matches {
        return Reason::EventType;
    }
    match (endpoint.filter, case.unjudged) {
        (FilterVerdict::NoFilter | FilterVerdict::Passes, _) => Reason::Matches,
        (FilterVerdict::NotAsked, Some(Unjudged::Erased)) => Reason::PayloadErased,
        (FilterVerdict::NotAsked, Some(Unjudged::NotJudged(why))) => match why {
            NotJudged::TooLarge => Reason::PayloadTooLarge,
            NotJudged::NulCharacter => Reason::PayloadHoldsNul,
            NotJudged::HugeExponent => Reason::PayloadExponentTooLarge,
        },
        (FilterVerdict::NoBoolean, _) => Reason::PayloadFilterNoBoolean,
        (FilterVerdict::Refused, _) => Reason::PayloadFilterRefused,
        (FilterVerdict::TooManySteps, _) => Reason::PayloadFiltersTooCostly,
        (FilterVerdict::Fails | FilterVerdict::NotAsked, _) => Reason::PayloadFilter,
    }
}

fn detail(reason: Reason, endpoint: &Considered, is_published: bool) -> String {
    let unjudged = |why: &str| {
        format!("It has a payload filter, which cannot judge this payload: {why}. So it does not match.")
    };
    match reason {
        Reason::Matches if is_published && endpoint.delivery.is_none() => {
            "It matches as it is set today, but got no delivery: it was disabled or set otherwise when the event came, or the \
             event was meant for another endpoint alone."
                .to_owned()
        }
        Reason::Matches => "It matches.".to_owned(),
        Reason::OperationalEndpoint => {
            "It is the operational endpoint, which gets only what Trunkline has to tell.".to_owned()
        }
        Reason::OperationalEvent => "The event tells about endpoints; only the operational endpoint gets it.".to_owned(),
        Reason::EndpointDeleted => "It was deleted; its history is kept.".to_owned(),
        Reason::EndpointDisabled => match endpoint.disabled_reason.as_deref() {
            Some("gone") => "It is disabled because it answered 410; new events do not match it.".to_owned(),
            Some("failing") => {
                "It is disabled because it failed for days; new events do not match it.".to_owned()
            }
            _ => "It is disabled by hand; new events do not match it.".to_owned(),
        },
        Reason::CreatedLater => "It was created later than the event; a replay can deliver it.".to_owned(),
        Reason::EventType => "Its filter of event types does not name this type.".to_owned(),
        Reason::PayloadFilter => "Its payload filter is not satisfied.".to_owned(),
        Reason::PayloadFilterNoBoolean => {
            "Its payload filter finds no boolean in this payload, which does not match then.".to_owned()
        }
        Reason::PayloadFilterRefused => {
            "Its payload filter was saved when more was accepted, and could take too long; it matches nothing. Saving it again says \
             what to write instead."
                .to_owned()
        }
        Reason::PayloadFiltersTooCostly => unjudged("with so many items in the payload, all filters together would take too many steps"),
        Reason::PayloadTooLarge => unjudged(&NotJudged::TooLarge.to_string()),
        Reason::PayloadHoldsNul => unjudged(&NotJudged::NulCharacter.to_string()),
        Reason::PayloadExponentTooLarge => unjudged(&NotJudged::HugeExponent.to_string()),
        Reason::PayloadErased => unjudged("it was erased"),
    }
}

fn waits(endpoint: &Considered, now: DateTime<Utc>) -> Option<&'static str> {
    let lies_ahead = |time: Option<DateTime<Utc>>| time.is_some_and(|time| time > now);
    if endpoint.disabled_reason.is_some() {
        Some("disabled")
    } else if endpoint.is_paused {
        Some("paused")
    } else if lies_ahead(endpoint.paused_until) {
        Some("retry_after")
    } else if lies_ahead(endpoint.breaker_open_until) {
        Some("breaker_open")
    } else {
        None
    }
}
