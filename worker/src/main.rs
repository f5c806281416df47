//! `trunkline-worker`: the worker as a process of its own. It only wires.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use trunkline_boot::{Admin, Settings, Shutdown, telemetry};

/// Claims due deliveries and brings them to their endpoints.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// A TOML file with settings; the environment (TRUNKLINE__SECTION__KEY) is stronger.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let settings = match Settings::from_process(arguments.config.as_deref()) {
        Ok(settings) => settings,
        Err(error) => return fail(&error.into(), 2),
    };
    match run(&settings).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, 1),
    }
}

async fn run(settings: &Settings) -> anyhow::Result<()> {
    telemetry::init(&settings.log);
    let shutdown = Shutdown::on_signals().context("signal handlers cannot be installed")?;
    let door = trunkline_worker::build(settings, shutdown.clone()).await?;
    let admin = Admin::bind(settings.admin.bind, door.readiness(), shutdown)?;
    admin.run_while(door.run_until_stopped()).await?;
    Ok(())
}

#[expect(clippy::print_stderr, reason = "the last words of a program that does not start")]
fn fail(error: &anyhow::Error, code: u8) -> ExitCode {
    eprintln!("trunkline-worker: {error:#}");
    ExitCode::from(code)
}
