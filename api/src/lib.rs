#![doc = include_str!("../README.md")]

mod actions;
mod audit;
mod auth;
mod body;
mod door;
mod frame;
mod ingest;
mod metrics;
mod openapi;
mod page;
mod problem;
mod query;
mod rate;
mod routes;
pub mod saving;
mod schemas;
mod search;
mod share;
mod state;
mod waker;

pub use door::{BuildError, Door, build};
pub use openapi::document;
