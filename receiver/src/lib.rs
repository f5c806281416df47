#![doc = include_str!("../README.md")]

mod actions;
mod address;
mod auth;
mod body;
mod door;
mod metrics;
mod openapi;
mod problem;
mod reception;
mod routes;
mod secrets;
mod signature;
mod state;
mod sweep;

pub use door::{BuildError, Door, build};
pub use openapi::document;
