//! One file a measure.

pub(crate) mod batch;
pub(crate) mod drain;
pub(crate) mod fanout;
pub(crate) mod footprint;
pub(crate) mod idle;
pub(crate) mod ingest;
pub(crate) mod limits;
pub(crate) mod payload;
mod round;
pub(crate) mod scale;
pub(crate) mod sustained;
