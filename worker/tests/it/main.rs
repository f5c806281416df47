//! The worker through its door: a real PostgreSQL before it, real sockets behind it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should fail where it stands")]

mod authority;
mod auto_disable;
mod breaker;
mod concurrency;
mod crash;
mod egress;
mod hostile;
mod house;
mod lanes;
mod operational;
mod order;
mod outcomes;
mod proxy;
mod raw_endpoint;
mod replays;
mod restore;
mod retention;
mod retries;
mod reuse;
mod settings;
mod stop;
mod tls;
mod upkeep;
mod wire;
