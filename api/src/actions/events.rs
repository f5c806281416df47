//! Publishing, and history.

pub(crate) mod attempts;
pub(crate) mod batch;
pub(crate) mod cancel;
mod draft;
pub(crate) mod erase;
pub(crate) mod explain;
pub(crate) mod export;
mod header;
mod headers;
pub(crate) mod list;
pub(crate) mod publish;
mod request;
pub(crate) mod retry;
pub(crate) mod retry_delivery;
pub(crate) mod show;

use trunkline_domain::EventId;

use crate::problem::Problem;

/// An id in a path. One that is none is answered like one that does not exist.
fn id(text: &str) -> Result<EventId, Problem> {
    text.parse().map_err(|_| Problem::no_event())
}
