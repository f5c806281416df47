#![doc = include_str!("../README.md")]

mod attempt;
#[doc(hidden)]
pub mod ceiling;
mod desk;
mod door;
mod engine;
mod keeper;
mod lanes;
mod metrics;
mod open_files;
mod operational;
mod recorder;
mod replays;
mod retention;
mod roster;
mod sampler;
mod session;
mod spare;
mod upkeep;
mod wake;

#[doc(hidden)]
pub use door::build_asking;
pub use door::{BuildError, Door, build};
pub use retention::{RetentionError, end_history};
