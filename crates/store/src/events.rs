//! Events: the way in, and the history as tenants read it.

mod candidates;
mod find;
pub mod ordering;
mod payloads;
mod publish;
mod publish_operational;
mod publish_to;
mod summarise;

pub use candidates::{IdRange, with_any_status, with_status_failed, with_status_pending};
pub use find::{DeliveryDetail, EventDetail, find, shown_status, status};
pub use payloads::payloads;
pub use publish::{Filters, Routing, publish};
pub use publish_operational::{OperationalEvent, publish_operational};
pub use publish_to::publish_to;
pub use summarise::{EventFilter, EventSummary, summarise};
