#![doc = include_str!("../README.md")]

pub mod admin;
pub mod clients;
pub mod clock;
pub mod exit_codes;
pub mod host;
pub mod listen;
pub mod metrics;
pub mod parts;
#[cfg(feature = "private-postgres")]
pub mod private_postgres;
pub mod random;
pub mod settings;
pub mod shutdown;
pub mod telemetry;
pub mod trace;

pub use admin::{Admin, ReadinessCheck};
pub use clients::Clients;
pub use clock::Clock;
pub use listen::BindError;
pub use settings::{Settings, SettingsError};
pub use shutdown::Shutdown;
