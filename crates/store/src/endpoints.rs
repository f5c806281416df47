//! Endpoints, their secrets, and how they fare.

mod breaker;
mod consider;
mod create;
mod delete;
mod filter;
mod find;
mod health;
mod hold;
mod load;
mod reseal;
mod save;
mod secrets;
mod stats;
mod switch;

pub use breaker::{Breaker, BreakerTurn, note_breakers};
pub use consider::{Considered, ConsideredDelivery, FilterVerdict, Question, consider, takes_events};
pub use create::{Added, ENDPOINTS_MAX, NewEndpoint, add, create};
pub use delete::delete;
pub use filter::check_filter;
pub use find::{EndpointDetail, find, find_operational, list};
pub use health::{DisabledFailing, Health, disable_failing, disable_gone, note_health, pause};
pub use hold::lock_free;
pub use load::{Endpoint, load};
pub use reseal::{
    EndpointPlace, KeyUse, SecretPlace, StaleHeaders, StaleSecret, count_by_key, lock_stale_headers,
    lock_stale_secrets, replace_headers, replace_secrets,
};
pub use save::{Saved, lock, save};
pub use secrets::{NewSecret, SealedSecret, add_secret, retire_secrets, secrets_of_tenant};
pub use stats::{AttemptCounts, DeliveryCounts, LOOKED_AT_MAX, count_attempts, count_deliveries};
pub use switch::{disable, enable, set_paused};
