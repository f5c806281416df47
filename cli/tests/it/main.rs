//! The real binary as a process: what people and scripts rely on.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should fail where it stands")]

mod audit;
mod calling;
mod canaries;
mod catcher;
mod cluster;
mod cluster_example;
mod dev;
mod every_operation;
mod house;
mod http;
mod installation;
mod listen;
mod operators;
mod process;
mod publishing;
mod refusals;
mod secrets;
mod signals;
mod steering;
mod tracing;
mod watching;
