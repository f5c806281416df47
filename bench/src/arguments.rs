//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Measures Trunkline with real processes, beside the limits of the machine.
#[derive(Parser)]
#[command(version)]
pub(crate) struct Arguments {
    /// Where results are written.
    #[arg(long, global = true, default_value = "bench/results", value_name = "FOLDER")]
    pub(crate) results: PathBuf,
    /// Shorten every measure: to see that it works, not what it finds.
    #[arg(long, global = true)]
    pub(crate) quick: bool,
    /// Take the programs as they are instead of building them first.
    #[arg(long, global = true)]
    pub(crate) no_build: bool,
    #[command(subcommand)]
    pub(crate) task: Task,
}

#[derive(Subcommand)]
pub(crate) enum Task {
    /// Every measure, and a table that compares them with what is to be reached
    All,
    /// What the machine can do at best
    Limits,
    /// Events accepted a second
    Ingest,
    /// A backlog of 100,000 deliveries
    Drain,
    /// Everything at once, at rising rates
    Sustained,
    /// From 201 to arrival while nothing else happens
    Idle,
    /// One event to ten endpoints
    Fanout,
    /// A hundred events a request
    Batch,
    /// Payloads from 100 bytes to 200 KiB
    Payload,
    /// Memory, start, size of each program
    Footprint,
    /// More history, partitions, replicas, endpoints, and a whale
    Scale,
    /// A part of a measure: the endpoint
    #[command(hide = true)]
    Sink,
    /// A part of a measure: the publisher
    #[command(hide = true)]
    Load,
    /// A part of a measure: a handler that only parses
    #[command(hide = true)]
    Bare,
    /// A part of every run: cleans up behind it
    #[command(hide = true)]
    Guard {
        /// The folder of the run
        folder: PathBuf,
    },
}
