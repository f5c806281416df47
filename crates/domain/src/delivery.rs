//! The states of a delivery, and of an event as its deliveries make it.

use serde::{Deserialize, Serialize};

/// What stands in the status column of a delivery. The transitions are drawn in `docs/DATA_MODEL.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DeliveryStatus {
    /// Not attempted yet in this cycle (a retry by hand starts a new one).
    Pending,
    /// An attempt was answered 2xx.
    Delivered,
    /// The last attempt failed. With a due time it is attempted again by itself; without one it is a dead letter.
    Failed,
    /// Taken back by its tenant, or expired, before it was delivered.
    Cancelled,
}

impl DeliveryStatus {
    /// The word used in SQL and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Delivered => "DELIVERED",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
        }
    }
}

/// The status of an event over all its deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EventStatus {
    /// At least one delivery was not attempted yet, and none failed.
    Pending,
    /// Every delivery that was not cancelled is delivered.
    Delivered,
    /// At least one delivery failed.
    Failed,
    /// Every delivery was cancelled.
    Cancelled,
    /// No endpoint matched when the event came; it is kept and can be replayed.
    Unrouted,
}

impl EventStatus {
    /// Every status, in the order of the contract.
    pub const ALL: [Self; 5] =
        [Self::Pending, Self::Delivered, Self::Failed, Self::Cancelled, Self::Unrouted];

    /// FAILED if any delivery is, else PENDING if any is, else DELIVERED if any is, else CANCELLED; UNROUTED without
    /// deliveries.
    pub fn over(deliveries: impl IntoIterator<Item = DeliveryStatus>) -> Self {
        let weight = |status| match status {
            Self::Unrouted => 0,
            Self::Cancelled => 1,
            Self::Delivered => 2,
            Self::Pending => 3,
            Self::Failed => 4,
        };
        deliveries
            .into_iter()
            .map(|delivery| match delivery {
                DeliveryStatus::Pending => Self::Pending,
                DeliveryStatus::Delivered => Self::Delivered,
                DeliveryStatus::Failed => Self::Failed,
                DeliveryStatus::Cancelled => Self::Cancelled,
            })
            .max_by_key(|status| weight(*status))
            .unwrap_or(Self::Unrouted)
    }

    /// The word used in SQL and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Delivered => "DELIVERED",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
            Self::Unrouted => "UNROUTED",
        }
    }

    /// The status with that word, if there is one. Upper case only, as the contract writes it.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::DeliveryStatus::{Cancelled, Delivered, Failed, Pending};
    use super::*;

    #[test]
    fn an_event_shows_the_worst_of_its_deliveries() {
        let table: [(&[DeliveryStatus], EventStatus); 8] = [
            (&[], EventStatus::Unrouted),
            (&[Pending], EventStatus::Pending),
            (&[Delivered], EventStatus::Delivered),
            (&[Cancelled], EventStatus::Cancelled),
            (&[Delivered, Cancelled], EventStatus::Delivered),
            (&[Delivered, Pending, Cancelled], EventStatus::Pending),
            (&[Delivered, Failed, Pending], EventStatus::Failed),
            (&[Cancelled, Failed], EventStatus::Failed),
        ];
        for (deliveries, expected) in table {
            assert_eq!(EventStatus::over(deliveries.iter().copied()), expected, "{deliveries:?}");
        }
    }

    #[test]
    fn every_status_has_one_word() {
        for status in EventStatus::ALL {
            assert_eq!(EventStatus::from_word(status.as_str()), Some(status));
        }
        assert_eq!(EventStatus::from_word("pending"), None);
    }
}
