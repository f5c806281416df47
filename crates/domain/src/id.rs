//! Ids as newtypes, in the form people see and the form the database keeps.

mod uuid_v7;

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// An id that does not have the form its kind demands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// A tenant id outside `^[a-z0-9-]{3,50}$`.
    #[error("a tenant_id is 3 to 50 characters of a-z, 0-9 and '-'")]
    Tenant,
    /// An event id that is not `evt_` and 32 lower-case hexadecimal digits.
    #[error("an event id is 'evt_' followed by 32 lower-case hexadecimal digits")]
    Event,
    /// An endpoint id that is not `ep_` and 32 lower-case hexadecimal digits.
    #[error("an endpoint id is 'ep_' followed by 32 lower-case hexadecimal digits")]
    Endpoint,
    /// A key id that is not `key_` and 32 lower-case hexadecimal digits.
    #[error("a key id is 'key_' followed by 32 lower-case hexadecimal digits")]
    Key,
    /// An erasure's id that is not `ers_` and 32 lower-case hexadecimal digits.
    #[error("an erasure's id is 'ers_' followed by 32 lower-case hexadecimal digits")]
    Erasure,
    /// A replay id that is not `rpl_` and 32 lower-case hexadecimal digits.
    #[error("a replay id is 'rpl_' followed by 32 lower-case hexadecimal digits")]
    Replay,
    /// An audit entry's id that is not `adt_` and 32 lower-case hexadecimal digits.
    #[error("an audit entry's id is 'adt_' followed by 32 lower-case hexadecimal digits")]
    Audit,
}

/// A tenant's name, chosen by the operator: `^[a-z0-9-]{3,50}$`. It is never given a second time.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TenantId(String);

impl TenantId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TenantId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::try_from(text.to_owned())
    }
}

impl TryFrom<String> for TenantId {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if (3..=50).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text))
        } else {
            Err(InvalidId::Tenant)
        }
    }
}

impl From<TenantId> for String {
    fn from(id: TenantId) -> Self {
        id.0
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// An event's id: a UUID version 7 (RFC 9562), shown as `evt_` and its 32 hexadecimal digits, so that text order is
/// time order and a DBA finds the row with `replace`-free SQL: `'evt_...'` less its prefix casts to `uuid`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EventId(Uuid);

impl EventId {
    /// The lowest id that an event created at `instant`'s millisecond can have: bounds a scan to its partitions.
    pub fn first_at(instant: DateTime<Utc>) -> Self {
        Self(uuid_v7::lowest_in_millisecond(instant.timestamp_millis()))
    }

    /// The instant in its upper 48 bits, in milliseconds (RFC 9562, section 5.7); `None` where no calendar reaches.
    pub fn instant(self) -> Option<DateTime<Utc>> {
        i64::try_from(self.0.as_u128() >> 80).ok().and_then(DateTime::from_timestamp_millis)
    }

    /// This id if it is larger than `last`, else the next after `last`: where order is order of commit, a clock that is behind
    /// must not put an event before what is there.
    pub fn after(self, last: Self) -> Self {
        if self > last { self } else { Self(uuid_v7::next(last.0)) }
    }
}

/// An endpoint's id: a UUID shown as `ep_` and its 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EndpointId(Uuid);

/// A replay's id: a UUID version 7 shown as `rpl_` and its 32 hexadecimal digits, so that the newest sorts last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ReplayId(Uuid);

/// The id of an API key, which names it without being it: a UUID shown as `key_` and its 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyId(Uuid);

/// The id of a request to erase payloads: a UUID shown as `ers_` and its 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ErasureId(Uuid);

/// The id of an entry of the audit: a UUID shown as `adt_` and its 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AuditId(Uuid);

/// What the ids that are UUIDs share: how they are made, their text, and their form in the database.
macro_rules! uuid_id {
    ($id:ident, $prefix:literal, $error:expr) => {
        impl $id {
            const PREFIX: &'static str = $prefix;

            /// Makes the id of what came about at `created_at`; 62 bits of `random` keep ids of one instant apart.
            pub fn mint(created_at: DateTime<Utc>, random: u64) -> Self {
                Self(uuid_v7::from_parts(created_at.timestamp_micros(), random))
            }

            /// The id as the database keeps it.
            pub fn as_uuid(self) -> Uuid {
                self.0
            }
        }

        impl FromStr for $id {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let digits = text.strip_prefix(Self::PREFIX).ok_or($error)?;
                let canonical = digits.len() == 32
                    && digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
                if !canonical {
                    return Err($error);
                }
                Uuid::try_parse(digits).map(Self).map_err(|_| $error)
            }
        }

        impl TryFrom<String> for $id {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$id> for String {
            fn from(id: $id) -> Self {
                id.to_string()
            }
        }

        impl From<Uuid> for $id {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl fmt::Display for $id {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(out, "{}{}", Self::PREFIX, self.0.simple())
            }
        }
    };
}

uuid_id!(EventId, "evt_", InvalidId::Event);
uuid_id!(EndpointId, "ep_", InvalidId::Endpoint);
uuid_id!(KeyId, "key_", InvalidId::Key);
uuid_id!(ErasureId, "ers_", InvalidId::Erasure);
uuid_id!(ReplayId, "rpl_", InvalidId::Replay);
uuid_id!(AuditId, "adt_", InvalidId::Audit);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_id_is_3_to_50_lower_case_characters() {
        for good in ["abc", "test-tenant", "---", "0123456789", &"a".repeat(50)] {
            assert_eq!(good.parse::<TenantId>().unwrap().as_str(), good);
        }
        for bad in ["", "ab", &"a".repeat(51), "Acme", "a_b", "a b", "tést", "abc\n", "abc/../x"] {
            assert_eq!(bad.parse::<TenantId>(), Err(InvalidId::Tenant), "{bad:?}");
        }
    }

    #[test]
    fn an_event_id_has_one_spelling() {
        let text = "evt_0190163d8694739b8a3c0123456789ab";
        assert_eq!(text.parse::<EventId>().unwrap().to_string(), text);
        for bad in [
            "",
            "evt_",
            "0190163d8694739b8a3c0123456789ab",
            "evt_0190163D8694739B8A3C0123456789AB",
            "evt_0190163d-8694-739b-8a3c-0123456789ab",
            "ep_0190163d8694739b8a3c0123456789ab",
            "evt_0190163d8694739b8a3c0123456789a",
            "evt_0190163d8694739b8a3c0123456789abc",
            "evt_{190163d8694739b8a3c0123456789ab}",
        ] {
            assert_eq!(bad.parse::<EventId>(), Err(InvalidId::Event), "{bad:?}");
        }
    }
}
