//! An event on its way to be stored: what REST's two ways to publish have in common.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use trunkline_boot::random::random_bytes;
use trunkline_domain::event::DELIVER_AFTER_MAX;
use trunkline_domain::payload::PayloadFacts;
use trunkline_domain::{EventId, EventType, NewEvent, OrderingKey};
use trunkline_store::api_keys::KeyOwner;

use crate::problem::Problem;
use crate::state::State;

/// An event as its publisher describes it, checked but for what needs the time.
pub(super) struct Draft {
    pub(super) event_type: Option<EventType>,
    pub(super) deliver_at: Option<DateTime<Utc>>,
    pub(super) ordering_key: Option<OrderingKey>,
    pub(super) traceparent: Option<String>,
    pub(super) is_judged: bool,
    pub(super) payload: Bytes,
}

/// Its `deliver_at` lies more than 30 days ahead. A header says so in another way than a field of a body.
pub(super) struct TooFarAhead;

impl Draft {
    /// Gives it an id and a time.
    pub(super) fn into_event(self, state: &State, owner: &KeyOwner) -> Result<NewEvent<Bytes>, TooFarAhead> {
        let created_at = state.clock.now();
        if self.deliver_at.is_some_and(|at| at > created_at + DELIVER_AFTER_MAX) {
            return Err(TooFarAhead);
        }
        Ok(NewEvent {
            lane: owner.lane,
            tenant_id: owner.tenant_id.clone(),
            event_id: EventId::mint(created_at, u64::from_ne_bytes(random_bytes())),
            event_type: self.event_type,
            created_at,
            deliver_at: self.deliver_at,
            ordering_key: self.ordering_key,
            traceparent: self.traceparent,
            is_judged: self.is_judged,
            payload_sha256: Sha256::digest(&self.payload).into(),
            payload: self.payload,
        })
    }
}

/// The header, else the payload's own words.
pub(super) fn event_type(
    named: Option<EventType>,
    facts: PayloadFacts,
) -> Result<Option<EventType>, Problem> {
    if named.is_some() {
        return Ok(named);
    }
    facts.event_type().map_err(|error| {
        let detail = format!("The payload's member type (or event) is no event type: {error}. Name one in the header Trunkline-Event-Type.");
        Problem::bad_field("type", &detail)
    })
}

/// What an Idempotency-Key is bound to: type and payload. The separator is a byte that no type has.
pub(super) fn body_sha256(event: &NewEvent<Bytes>) -> [u8; 32] {
    let event_type = event.event_type.as_ref().map_or("", EventType::as_str);
    let mut hash = Sha256::new();
    hash.update(event_type);
    hash.update([0]);
    hash.update(&event.payload);
    hash.finalize().into()
}
