//! `trunkline-worker`: the worker as a process of its own. It only wires.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use tokio::runtime::Runtime;
use trunkline_boot::{Admin, Settings, SettingsError, Shutdown, exit_codes, telemetry, trace};
use trunkline_worker::BuildError;

// The api has none of its own: it gave back what refused bodies had taken too late for what R8 promises of its memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Claims due deliveries and brings them to their endpoints.
#[derive(Parser)]
#[command(version, after_help = exit_codes::HELP)]
struct Arguments {
    /// A TOML file with settings; the environment (TRUNKLINE__SECTION__KEY) is stronger.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match Runtime::new().context("no runtime can be started") {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    let ended = runtime.block_on(run(arguments));
    // Its threads may be waiting for the name of the database, for as long as name servers do not answer.
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let settings = Settings::from_process(arguments.config.as_deref())?;
    telemetry::init(&settings.log);
    let _traces = trace::start(&settings.telemetry, "trunkline-worker")?;
    let shutdown = Shutdown::on_signals().context("signal handlers cannot be installed")?;
    let door = trunkline_worker::build(&settings, shutdown.clone()).await?;
    let admin = Admin::bind(settings.admin.bind, door.readiness(), shutdown)?;
    admin.run_while(door.run_until_stopped()).await?;
    Ok(())
}

#[expect(clippy::print_stderr, reason = "the last words of a program that does not start")]
fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("trunkline-worker: {error:#}");
    let code = match error.downcast_ref::<BuildError>() {
        Some(error) => error.exit_code(),
        None if error.is::<SettingsError>() => exit_codes::SETTINGS,
        None => exit_codes::FAILED,
    };
    ExitCode::from(code)
}
