//! `trunkline api`, `worker`, `receiver`: one door as a process of its own.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use trunkline_boot::{Admin, Settings, Shutdown, telemetry, trace};

use crate::doors;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// A TOML file with settings; the environment (TRUNKLINE__SECTION__KEY) is stronger
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Which door.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Role {
    /// Tenants put events in and read history.
    Api,
    /// Takes due deliveries out to endpoints.
    Worker,
    /// The reference consumer.
    Receiver,
}

impl Role {
    /// What its spans come from.
    fn service(self) -> &'static str {
        match self {
            Self::Api => "trunkline-api",
            Self::Worker => "trunkline-worker",
            Self::Receiver => "trunkline-receiver",
        }
    }
}

pub(crate) fn run(role: Role, options: &Options) -> anyhow::Result<()> {
    let settings = Settings::from_process(options.config.as_deref())?;
    settings.require_database_url()?;
    settings.require_secrets_keys()?;
    telemetry::init(&settings.log);
    let _traces = trace::start(&settings.telemetry, role.service())?;
    let runtime = tokio::runtime::Runtime::new().context("the runtime cannot be started")?;
    let served = runtime.block_on(serve(role, &settings));
    // Its threads may be waiting for the name of the database, for as long as name servers do not answer.
    runtime.shutdown_background();
    served
}

async fn serve(role: Role, settings: &Settings) -> anyhow::Result<()> {
    let shutdown = Shutdown::on_signals().context("signal handlers cannot be installed")?;
    let door = match role {
        Role::Api => doors::api(settings, shutdown.clone()).await,
        Role::Worker => doors::worker(settings, shutdown.clone()).await,
        Role::Receiver => doors::receiver(settings, shutdown.clone()).await,
    }?;
    let admin = Admin::bind(settings.admin.bind, door.readiness, shutdown)?;
    admin.run_while(door.run_until_stopped).await?
}
