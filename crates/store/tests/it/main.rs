//! Statements against a real PostgreSQL: the schema's own promises, and what each function says it does.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should fail where it stands")]

mod catalog;
mod claims;
mod cluster;
mod connections;
mod deliveries;
mod documented_questions;
mod ids;
mod inspections;
mod isolation;
mod migrations;
mod ordering;
mod pages;
mod partitions;
mod plans;
mod poolers;
mod rates;
mod read_views;
mod roles;
mod watching;
