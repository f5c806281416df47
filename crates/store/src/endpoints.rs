//! Endpoints, their secrets, and how they fare.

mod create;
mod health;
mod load;
mod secrets;

pub use create::{NewEndpoint, create};
pub use health::{disable_gone, note_health, pause};
pub use load::{Endpoint, load};
pub use secrets::{NewSecret, SealedSecret, add_secret, retire_secrets, secrets_of_tenant};
