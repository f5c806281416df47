//! The end of history: partitions are detached and dropped whole when everything in them is past the longest retention; events of
//! a tenant or type that are kept for a shorter time are erased bit by bit.
//!
//! Each step looks at what there is and does what comes next, so that one who dies in between leaves nothing that the next
//! cannot go on from.

mod count;
mod erase;
mod expire;
mod lock;
mod overdue;
mod partition;
mod place;
mod report;

pub use count::{count_day, day_to_count};
pub use erase::{Erased, SCOPES_MAX, Scope, erase, scopes};
pub use expire::{Expired, expire};
pub use lock::Turn;
pub use overdue::overdue_days;
pub use partition::{
    Day, HistoryTable, Left, Standing, attach, detach, drop, finish_detaching, forget, has_open_work,
    note_payloads_gone, past, rows, standing,
};
pub use place::{Place, note_places, places};
pub use report::{COUNT_MAX, DayReport, hidden, report};
