//! Deliveries, the status rows. Their life is drawn in `docs/DATA_MODEL.md`; each edge of that drawing is one file here.

mod active;
mod cancel;
mod cancel_of_deleted;
mod claim;
mod dead_letters;
mod give_back;
mod key;
mod record;
mod reopen;

pub use active::{ActiveEndpoint, Places, active_endpoints, oldest_open};
pub use cancel::{cancel, cancel_in_order};
pub use cancel_of_deleted::{cancel_of_deleted, clear_deleted};
pub use claim::{ClaimTerms, Claimed, Wanted, claim};
pub use dead_letters::{Cursor, DeadLetter, DeadLetterFilter, dead_letters, purge, purge_in_order, requeue};
pub use give_back::{GivenBack, give_back};
pub(crate) use key::KeyColumns;
pub use key::{DeliveryKey, Lease};
pub use record::{EndedAttempt, NextStep, Recorded, record, record_free, record_in_order, release_free};
pub use reopen::{Reopened, reopen, status};
