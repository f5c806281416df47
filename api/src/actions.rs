//! One file an action.

pub(crate) mod api_keys;
pub(crate) mod audit;
pub(crate) mod dead_letters;
pub(crate) mod docs;
pub(crate) mod endpoints;
pub(crate) mod erasures;
pub(crate) mod event_types;
pub(crate) mod events;
pub(crate) mod matching;
pub(crate) mod replays;
pub(crate) mod stats;
pub(crate) mod tenants;
