//! `trunkline-api`: the api as a process of its own. It only wires.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use trunkline_api::BuildError;
use trunkline_boot::{Admin, Settings, SettingsError, Shutdown, exit_codes, telemetry, trace};

/// Lets tenants publish events and read their history.
#[derive(Parser)]
#[command(version, after_help = exit_codes::HELP)]
struct Arguments {
    /// A TOML file with settings; the environment (TRUNKLINE__SECTION__KEY) is stronger.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let settings = Settings::from_process(arguments.config.as_deref())?;
    telemetry::init(&settings.log);
    let _traces = trace::start(&settings.telemetry, "trunkline-api")?;
    let shutdown = Shutdown::on_signals().context("signal handlers cannot be installed")?;
    let door = trunkline_api::build(&settings, shutdown.clone()).await?;
    let admin = Admin::bind(settings.admin.bind, door.readiness(), shutdown)?;
    admin.run_while(door.run_until_stopped()).await??;
    Ok(())
}

#[expect(clippy::print_stderr, reason = "the last words of a program that does not start")]
fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("trunkline-api: {error:#}");
    let code = match error.downcast_ref::<BuildError>() {
        Some(error) => error.exit_code(),
        None if error.is::<SettingsError>() => exit_codes::SETTINGS,
        None => exit_codes::FAILED,
    };
    ExitCode::from(code)
}
