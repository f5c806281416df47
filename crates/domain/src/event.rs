//! An event on its way in.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::{EventId, Lane, TenantId};

/// The longest event type, in characters. It travels in a header and stands in every row.
pub const EVENT_TYPE_LENGTH_MAX: usize = 128;

/// What kind of thing happened, such as `order.created`: 1 to 128 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EventType(String);

/// An event type outside 1 to 128 visible ASCII characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event type is 1 to {EVENT_TYPE_LENGTH_MAX} visible ASCII characters without spaces")]
pub struct InvalidEventType;

impl EventType {
    /// The type as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for EventType {
    type Error = InvalidEventType;

    fn try_from(text: String) -> Result<Self, InvalidEventType> {
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if visible && (1..=EVENT_TYPE_LENGTH_MAX).contains(&text.len()) {
            Ok(Self(text))
        } else {
            Err(InvalidEventType)
        }
    }
}

impl FromStr for EventType {
    type Err = InvalidEventType;

    fn from_str(text: &str) -> Result<Self, InvalidEventType> {
        Self::try_from(text.to_owned())
    }
}

impl From<EventType> for String {
    fn from(event_type: EventType) -> Self {
        event_type.0
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// How far ahead an event may be published: unfinished work keeps its partition, which must not be kept for ever.
pub const DELIVER_AFTER_MAX: TimeDelta = TimeDelta::days(30);

/// The longest [`OrderingKey`].
pub const ORDERING_KEY_LENGTH_MAX: usize = 256;

/// What events have in common that must be delivered one after another: 1 to 256 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrderingKey(String);

/// Text that is no [`OrderingKey`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an ordering key is 1 to {ORDERING_KEY_LENGTH_MAX} visible ASCII characters without spaces")]
pub struct InvalidOrderingKey;

impl OrderingKey {
    /// As the publisher wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for OrderingKey {
    type Err = InvalidOrderingKey;

    fn from_str(text: &str) -> Result<Self, InvalidOrderingKey> {
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if visible && (1..=ORDERING_KEY_LENGTH_MAX).contains(&text.len()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidOrderingKey)
        }
    }
}

/// An event that passed every check and is about to be stored. `P` holds the payload's exact bytes.
#[derive(Clone)]
pub struct NewEvent<P> {
    /// Where its tenant's work belongs.
    pub lane: Lane,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Minted from `created_at`.
    pub event_id: EventId,
    /// What happened, if the publisher said so.
    pub event_type: Option<EventType>,
    /// By the database's clock.
    pub created_at: DateTime<Utc>,
    /// Not to be delivered before then; at most [`DELIVER_AFTER_MAX`] after `created_at`.
    pub deliver_at: Option<DateTime<Utc>>,
    /// Endpoints that deliver in order attempt it after earlier events with the same key.
    pub ordering_key: Option<OrderingKey>,
    /// A W3C `traceparent` to send on with every attempt.
    pub traceparent: Option<String>,
    /// Whether payload filters can judge the payload ([`crate::payload::NotJudged`]).
    pub is_judged: bool,
    /// Received = stored = signed = sent.
    pub payload: P,
    /// SHA-256 of `payload`, which outlives it.
    pub payload_sha256: [u8; 32],
}

impl<P> fmt::Debug for NewEvent<P> {
    /// Names the event; its content belongs to its tenant and never reaches a log.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "NewEvent({} of {})", self.event_id, self.tenant_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_visible_ascii_and_bounded() {
        for good in ["a", "order.created", "urn:x/y?z", &"t".repeat(128)] {
            assert!(good.parse::<EventType>().is_ok(), "{good:?}");
        }
        for bad in ["", " ", "order created", "naïve", "a\u{7f}", "a\r\nx: y", &"t".repeat(129)] {
            assert_eq!(bad.parse::<EventType>(), Err(InvalidEventType), "{bad:?}");
        }
    }
}
