#![doc = include_str!("../README.md")]

mod dev;
mod http_client;
mod idle;
mod report;
mod sink;

use std::path::PathBuf;

use anyhow::Context;
use clap::{Parser, Subcommand};

use crate::dev::Dev;

/// Measures a Trunkline over HTTP.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The `dev.json` of a running `trunkline dev`; without it one is started on fresh data and stopped at the end.
    #[arg(long, global = true, value_name = "FILE")]
    dev: Option<PathBuf>,
    /// Where results are written.
    #[arg(long, global = true, default_value = "bench/results", value_name = "FOLDER")]
    results: PathBuf,
    #[command(subcommand)]
    measure: Measure,
}

#[derive(Subcommand)]
enum Measure {
    /// From 201 to arrival while nothing else happens: p50 and p99.
    Idle(idle::Options),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut dev = match &arguments.dev {
        Some(file) => Dev::running(file)?,
        None => Dev::start().await.context("starting `trunkline dev`")?,
    };
    let result = match &arguments.measure {
        Measure::Idle(options) => idle::measure(&dev, options).await,
    };
    dev.stop().await?;
    let figures = result?;
    report::show(&figures);
    report::write(&figures, &arguments.results)
}
