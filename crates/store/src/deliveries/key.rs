use trunkline_domain::{EndpointId, EventId, Lane, TenantId};
use uuid::Uuid;

use crate::events::IdRange;

/// Names a delivery: the primary key of its row.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DeliveryKey {
    /// Its tenant's lane.
    pub lane: Lane,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// What is delivered.
    pub event_id: EventId,
    /// Where to.
    pub endpoint_id: EndpointId,
}

/// The token of one claim. Whoever holds it may write the outcome, as long as it still stands in the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lease(pub i64);

impl Lease {
    /// A token of the worker with that number: the upper half names it, the lower half is random.
    pub fn of(worker: i32, random: u32) -> Self {
        Self((i64::from(worker) << 32) | i64::from(random))
    }
}

/// Many keys as the columns that UNNEST takes.
#[derive(Default)]
pub(crate) struct KeyColumns {
    pub(crate) lanes: Vec<i16>,
    pub(crate) tenants: Vec<String>,
    pub(crate) events: Vec<Uuid>,
    pub(crate) endpoints: Vec<Uuid>,
}

impl KeyColumns {
    pub(crate) fn of<'a>(keys: impl IntoIterator<Item = &'a DeliveryKey>) -> Self {
        let mut columns = Self::default();
        for key in keys {
            columns.lanes.push(key.lane.number());
            columns.tenants.push(key.tenant_id.to_string());
            columns.events.push(key.event_id.as_uuid());
            columns.endpoints.push(key.endpoint_id.as_uuid());
        }
        columns
    }

    /// From the lowest event to the first id behind the highest: tells the planner the partitions that can be touched.
    pub(crate) fn event_range(&self) -> IdRange {
        let from = self.events.iter().min().copied().unwrap_or_default();
        let highest = self.events.iter().max().copied().unwrap_or_default();
        IdRange { from, before: Uuid::from_u128(highest.as_u128().saturating_add(1)) }
    }
}
