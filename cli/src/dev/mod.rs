//! All doors, their database and three tenants in one process.
//!
//! What is started is stopped in the opposite order, whatever ends it: a signal, a port that is taken, a door that fails.

mod banner;
mod credentials;
mod database;
mod dev_file;
mod ports;
mod ready;
mod tenants;
mod together;
mod wiring;

pub(crate) use credentials::Credentials;
pub(crate) use dev_file::{DevFile, DevTenant};
pub(crate) use wiring::allow_loopback;

use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use anyhow::Context as _;
use trunkline_boot::settings::{DatabaseSettings, LogSettings};
use trunkline_boot::{Admin, Settings, Shutdown, telemetry, trace};
use trunkline_store::{Connection, Purpose};

use crate::commands::dev::Options;
use crate::commands::migrate::{direct, migrate};
use crate::failure::Failure;
use crate::operator::{connect, vault};
use crate::output::Output;
use crate::{doors, private_files};
use database::Database;

/// Where data are kept unless something else is said; git ignores it.
pub(crate) const DEFAULT_FOLDER: &str = ".trunkline/";

/// How long a start that is not wanted any more may take to become one that can be stopped; a download takes longer.
const START_PATIENCE: Duration = Duration::from_secs(5);

/// Starts everything, says so, and runs until a signal comes.
///
/// # Errors
/// Whatever kept a part from starting, or ended it. Nothing is left running.
pub(crate) async fn run(options: &Options, output: Output) -> anyhow::Result<()> {
    let mut settings = Settings::from_process(None)?;
    telemetry::init(&LogSettings { filter: options.log.clone(), ..settings.log.clone() });
    let _traces = trace::start(&settings.telemetry, "trunkline-dev")?;
    let shutdown = Shutdown::on_signals().context("signal handlers cannot be installed")?;
    ports::check(options)?;
    let folder = options.data_dir.as_path();
    let _lock = take_folder(folder)?;
    let credentials = if options.ephemeral { Credentials::generate() } else { Credentials::open(folder)? };
    wiring::complete(&mut settings, options, &credentials)?;

    let Some(database) = open_database(options, &settings, &shutdown, output).await? else {
        return Ok(());
    };
    if database.is_private() {
        // What the environment says is about another one.
        settings.database = DatabaseSettings {
            max_connections: settings.database.max_connections,
            ..DatabaseSettings::default()
        };
    }
    settings.database.url = Some(database.url());
    let served = serve(&settings, options, credentials, &shutdown, output).await;
    output.progress("stopping");
    if options.ephemeral {
        DevFile::remove(folder)?;
    }
    database.close().await;
    served
}

/// `None` when the wish to stop came first. A server that is being started is stopped in order, not dropped.
async fn open_database(
    options: &Options,
    settings: &Settings,
    shutdown: &Shutdown,
    output: Output,
) -> anyhow::Result<Option<Database>> {
    let mut opening = pin!(Database::open(options, settings, output));
    tokio::select! {
        opened = &mut opening => return opened.map(Some),
        () = shutdown.requested() => {}
    }
    if let Ok(Ok(database)) = tokio::time::timeout(START_PATIENCE, opening).await {
        database.close().await;
    }
    Ok(None)
}

/// Makes the folder ours alone. The lock goes with the process.
fn take_folder(folder: &Path) -> anyhow::Result<std::fs::File> {
    private_files::own_folder(folder)?;
    let lock = private_files::lock(&folder.join("lock"))?.ok_or_else(|| {
        let reason = format!(
            "another `trunkline dev` uses {}; stop it, or choose another folder with --data-dir",
            folder.display()
        );
        anyhow::Error::from(Failure::Usage(reason))
    })?;
    // Whoever waits for this file must not find the last run's.
    DevFile::remove(folder)?;
    Ok(lock)
}

/// Keys and secrets will lie in the folder, in whatever repository that is. A file that is there is its owner's.
fn hide_from_git(folder: &Path) -> anyhow::Result<()> {
    let file = folder.join(".gitignore");
    if private_files::read(&file)?.is_none() {
        private_files::replace(&file, "*\n")?;
    }
    Ok(())
}

async fn serve(
    settings: &Settings,
    options: &Options,
    mut credentials: Credentials,
    shutdown: &Shutdown,
    output: Output,
) -> anyhow::Result<()> {
    hide_from_git(&options.data_dir)?;
    let mut connection = connect(&direct(settings), Purpose::Maintenance).await?;
    apply_migrations(&mut connection, settings, output).await?;

    output.progress("doors: receiver, api, worker");
    let receiver = doors::receiver(settings, shutdown.clone()).await?;
    let api = doors::api(settings, shutdown.clone()).await?;
    let receiver_url = ports::url(receiver.port);
    let tenants =
        tenants::ensure(&mut connection, &vault(settings)?, &mut credentials, &receiver_url, output).await?;
    if !options.ephemeral {
        credentials.save(&options.data_dir)?;
    }
    drop(connection);
    let worker = doors::worker(&wiring::for_worker(settings), shutdown.clone()).await?;

    let readiness = [&api, &worker, &receiver].into_iter().flat_map(|door| door.readiness.clone()).collect();
    let admin = Admin::bind(settings.admin.bind, readiness, shutdown.clone())?;
    let file = DevFile {
        api_url: ports::url(api.port),
        receiver_url,
        admin_url: ports::url(Some(admin.port())),
        database_url: wiring::exposed(settings.require_database_url()?),
        operator_key: wiring::first_operator_key(settings),
        tenants,
    };
    let announce = async {
        ready::wait(&file).await?;
        file.write(&options.data_dir)?;
        output.result(&file, || banner::text(&file, &options.data_dir))
    };
    let doors = [api, worker, receiver];
    admin.run_while(together::run(doors, announce, shutdown)).await?
}

async fn apply_migrations(
    connection: &mut Connection,
    settings: &Settings,
    output: Output,
) -> anyhow::Result<()> {
    let applied = migrate(connection, settings).await?;
    output.progress(&match applied.len() {
        0 => "migrations: none to apply".to_owned(),
        count => format!("migrations: {count} applied"),
    });
    Ok(())
}
