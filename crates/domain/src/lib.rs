#![doc = include_str!("../README.md")]

pub mod delivery;
pub mod endpoint;
pub mod event;
pub mod id;
pub mod lane;
pub mod outcome;
pub mod payload;
pub mod retry;
pub mod retry_after;

pub use delivery::{DeliveryStatus, EventStatus};
pub use endpoint::EndpointSettings;
pub use event::{EventType, NewEvent, OrderingKey};
pub use id::{AuditId, EndpointId, ErasureId, EventId, KeyId, ReplayId, TenantId};
pub use lane::{Lane, LaneSet};
pub use outcome::{AttemptOutcome, Verdict};
