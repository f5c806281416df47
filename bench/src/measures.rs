//! One file a measure.

pub(crate) mod drain;
pub(crate) mod idle;
pub(crate) mod ingest;
pub(crate) mod limits;
pub(crate) mod sustained;
