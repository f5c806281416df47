//! Every door at once, and the arrows between the rooms.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should fail where it stands")]

mod demonstration;
mod forbidden;
mod layering;
mod panics;
mod roles;
mod security_page;
