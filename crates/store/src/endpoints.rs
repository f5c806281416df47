//! Endpoints, their secrets, and how they fare.

mod breaker;
mod consider;
mod create;
mod health;
mod load;
mod secrets;

pub use breaker::{Breaker, BreakerTurn, note_breakers};
pub use consider::{Considered, ConsideredDelivery, FilterVerdict, Question, consider, takes_events};
pub use create::{NewEndpoint, create};
pub use health::{DisabledFailing, Health, disable_failing, disable_gone, note_health, pause};
pub use load::{Endpoint, load};
pub use secrets::{NewSecret, SealedSecret, add_secret, retire_secrets, secrets_of_tenant};
