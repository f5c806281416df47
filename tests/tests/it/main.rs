//! Every door at once, and the arrows between the rooms.

mod demonstration;
mod layering;
