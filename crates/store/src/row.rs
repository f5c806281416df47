//! Turning columns into domain types.

use trunkline_domain::{DeliveryStatus, EventStatus, EventType, Lane, TenantId};

use crate::StoreError;

fn bad(table: &'static str, column: &'static str, key: impl ToString) -> StoreError {
    StoreError::BadRow { table, column, key: key.to_string() }
}

pub(crate) fn tenant_id(table: &'static str, text: String) -> Result<TenantId, StoreError> {
    TenantId::try_from(text.clone()).map_err(|_| bad(table, "tenant_id", text))
}

pub(crate) fn lane(table: &'static str, number: i16, key: impl ToString) -> Result<Lane, StoreError> {
    Lane::new(number).ok_or_else(|| bad(table, "lane", key))
}

pub(crate) fn event_type(text: Option<String>, key: impl ToString) -> Result<Option<EventType>, StoreError> {
    text.map(EventType::try_from).transpose().map_err(|_| bad("events", "type", key))
}

pub(crate) fn event_status(word: &str, key: impl ToString) -> Result<EventStatus, StoreError> {
    EventStatus::from_word(word).ok_or_else(|| bad("deliveries", "status", key))
}

pub(crate) fn delivery_status(word: &str, key: impl ToString) -> Result<DeliveryStatus, StoreError> {
    match word {
        "PENDING" => Ok(DeliveryStatus::Pending),
        "DELIVERED" => Ok(DeliveryStatus::Delivered),
        "FAILED" => Ok(DeliveryStatus::Failed),
        "CANCELLED" => Ok(DeliveryStatus::Cancelled),
        _ => Err(bad("deliveries", "status", key)),
    }
}

/// A count or number that the schema keeps at or above zero.
pub(crate) fn unsigned(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}
