//! One file an action.

pub(crate) mod dead_letters;
pub(crate) mod docs;
pub(crate) mod endpoints;
pub(crate) mod events;
pub(crate) mod matching;
pub(crate) mod replays;
pub(crate) mod tenants;
