#![doc = include_str!("../README.md")]

pub mod api_keys;
pub mod attempts;
pub mod audit;
pub mod citus;
mod connection;
mod days;
pub mod deliveries;
pub mod endpoints;
pub mod erasures;
mod error;
pub mod event_types;
pub mod events;
pub mod idempotency;
pub mod inspect;
pub mod lanes;
mod lent;
pub mod partitions;
pub mod pool;
pub mod rate_buckets;
pub mod receiver;
pub mod replays;
pub mod restore;
pub mod retention;
pub mod roles;
mod row;
pub mod schema;
pub mod stats;
pub mod tenants;
pub mod time;
pub mod wake;
pub mod watch;
pub mod workers;

pub use connection::{Connection, Transaction};
pub use error::StoreError;
pub use pool::{Address, Pool, Purpose};
pub use roles::Role;

/// Opens a transaction on a connection; it is rolled back unless it is committed.
///
/// # Errors
/// When the database is not available.
pub async fn begin(connection: &mut Connection) -> Result<Transaction<'_>, StoreError> {
    Ok(connection.begin().await?)
}
