//! Statements against a real PostgreSQL: the schema's own promises, and what each function says it does.

mod catalog;
mod claims;
mod deliveries;
mod ids;
mod migrations;
mod pages;
mod partitions;
