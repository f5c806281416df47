#![doc = include_str!("../README.md")]

mod attempt;
#[doc(hidden)]
pub mod ceiling;
mod door;
mod engine;
mod recorder;
mod roster;
mod upkeep;
mod wake;

pub use door::{BuildError, Door, build};
