//! `trunkline dev`: the whole house on this machine.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use crate::dev;
use crate::output::Output;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Where the api listens on 127.0.0.1; 0 takes a free port
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    pub(crate) api_port: u16,
    /// Where the receiver listens on 127.0.0.1; 0 takes a free port
    #[arg(long, value_name = "PORT", default_value_t = 8081)]
    pub(crate) receiver_port: u16,
    /// Where health and metrics are answered on 127.0.0.1; 0 takes a free port
    #[arg(long, value_name = "PORT", default_value_t = 8082)]
    pub(crate) admin_port: u16,
    /// Where data, keys and dev.json are kept
    #[arg(long, value_name = "FOLDER", default_value = dev::DEFAULT_FOLDER)]
    pub(crate) data_dir: PathBuf,
    /// Fresh data, removed at the end
    #[arg(long, conflicts_with = "database_url")]
    pub(crate) ephemeral: bool,
    /// A PostgreSQL to use instead of a private one; DATABASE_URL works too
    #[arg(long, value_name = "URL")]
    pub(crate) database_url: Option<String>,
    /// What is logged to standard error, such as info or warn,trunkline_worker=debug
    #[arg(long, value_name = "FILTER", env = "TRUNKLINE__LOG__FILTER", default_value = "warn")]
    pub(crate) log: String,
}

pub(crate) fn run(options: &Options, output: &Output) -> anyhow::Result<()> {
    tokio::runtime::Runtime::new()
        .context("the runtime cannot be started")?
        .block_on(dev::run(options, *output))
}
