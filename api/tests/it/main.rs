//! The api through its door: real sockets before it, a real PostgreSQL behind it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should fail where it stands")]

mod audit;
mod bad_input;
mod batches;
mod dead_letters;
mod described;
mod description;
mod endpoint_rules;
mod endpoint_switches;
mod endpoints;
mod erasing;
mod event_types;
mod explain;
mod export;
mod history;
mod hostile;
mod house;
mod idempotency;
mod isolation;
mod keys;
mod keys_of_tenants;
mod logins;
mod overload;
mod publishing;
mod rates;
mod replays;
mod retention;
mod stats;
mod steering;
mod tenants;
mod tenants_end;
mod two_doors;
