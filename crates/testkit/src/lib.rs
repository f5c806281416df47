#![doc = include_str!("../README.md")]
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up should fail where it stands")]

mod client;
mod database;
mod pgbouncer;
mod program;
mod seed;
mod sink;
mod wait;
mod way;

pub use client::{Client, Reply};
pub use database::{TestDatabase, run, text, try_text};
pub use pgbouncer::PgBouncer;
pub use program::{Program, Then, exchange};
pub use seed::{OPERATOR_KEY, SeededTenant, publish, seed_endpoint, seed_tenant, settings, vault};
pub use sink::{Answer, Arrival, Sink};
pub use wait::eventually;
pub use way::Way;
