//! The receiver through its door: a real socket, a real PostgreSQL, a database per test.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up should fail where it stands")]

mod control;
mod duplicates;
mod hostile;
mod house;
mod locked_out;
mod logins;
mod pages;
mod program;
mod received;
mod routing;
mod signatures;
mod stopping;
mod sweeping;
mod switch;
