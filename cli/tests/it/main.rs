//! The real binary as a process: what people and scripts rely on.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on should fail where it stands"
)]

mod dev;
mod house;
mod listen;
mod operators;
mod publishing;
mod refusals;
mod signals;
