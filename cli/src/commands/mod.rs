//! One file a command: its options, and what it does.

pub(crate) mod audit;
pub(crate) mod call;
pub(crate) mod completions;
pub(crate) mod dead_letters;
pub(crate) mod dev;
pub(crate) mod doctor;
pub(crate) mod endpoint;
pub(crate) mod endpoints;
pub(crate) mod event_type;
pub(crate) mod events;
pub(crate) mod key;
pub(crate) mod listen;
pub(crate) mod migrate;
pub(crate) mod probe;
pub(crate) mod replay;
pub(crate) mod restore;
pub(crate) mod retention;
pub(crate) mod role;
pub(crate) mod secrets;
pub(crate) mod send;
pub(crate) mod stats;
pub(crate) mod tenant;
pub(crate) mod top;
