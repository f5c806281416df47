//! What the receiver does: one file per action.

pub(crate) mod docs;
pub(crate) mod health;
pub(crate) mod received;
pub(crate) mod status;
pub(crate) mod switch;
pub(crate) mod webhook;
