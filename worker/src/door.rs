//! Putting a worker together, and taking it apart in order.

use std::sync::Arc;

use secrecy::ExposeSecret;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use trunkline_boot::{Clock, ReadinessCheck, Settings, SettingsError, Shutdown};
use trunkline_store::pool::InvalidUrl;
use trunkline_store::schema::SchemaError;
use trunkline_store::{Pool, Purpose, StoreError, partitions, pool, schema, time};
use trunkline_vault::Vault;

use crate::attempt::{Ended, Sender, SenderError};
use crate::engine::{Engine, Parts};
use crate::recorder::Recorder;
use crate::roster::CallableFactory;
use crate::upkeep::Upkeep;
use crate::wake::{Bell, listen};

/// Fewer days of partitions ahead than this, and the worker is not ready: it should have made them.
const PARTITIONS_AHEAD_MIN: i32 = 2;

/// Why a worker does not start.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A setting is missing.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// `database.url` is no address.
    #[error(transparent)]
    Url(#[from] InvalidUrl),
    /// The schema is not the one of this release, or the database is away.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The database is away.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// `secrets.keys` are unusable.
    #[error("secrets.keys: {0}")]
    Vault(#[from] trunkline_vault::KeysRefused),
    /// The HTTP client cannot be set up.
    #[error(transparent)]
    Sender(#[from] SenderError),
}

/// A worker that is ready to run.
pub struct Door {
    engine: Engine,
    recorder: Recorder,
    ended: mpsc::Receiver<Ended>,
    upkeep: Upkeep,
    session_url: String,
    bell: Bell,
    clock: Clock,
    pool: Pool,
    shutdown: Shutdown,
}

/// Prepares a worker: checks the schema and the keys, and sends nothing yet.
///
/// # Errors
/// When a setting is missing, the database is away, or its schema is not this release's.
pub async fn build(settings: &Settings, shutdown: Shutdown) -> Result<Door, BuildError> {
    let url = settings.require_database_url()?.expose_secret();
    let keys = settings.require_secrets_keys()?.iter();
    let vault = Arc::new(Vault::new(keys.map(|key| (key.id.clone(), *key.key.expose_secret())).collect())?);
    schema::require_current(&mut pool::connect(url, Purpose::Engine).await?).await?;
    let pool = pool::open(url, Purpose::Engine, settings.database.max_connections)?;
    let clock = Clock::new();
    let (now, round_trip) = time::read(&pool).await?;
    clock.set(now, round_trip);

    let worker_name = worker_name();
    let bell = Bell::default();
    // As many as can be under way: an attempt that ended never waits for room.
    let (sender, ended) = mpsc::channel(settings.worker.concurrency);
    let parts = Parts {
        pool: pool.clone(),
        clock: clock.clone(),
        bell: bell.clone(),
        factory: CallableFactory::new(settings, vault),
        sender: Sender::new(settings)?,
        ended: sender,
    };
    Ok(Door {
        engine: Engine::new(settings, parts),
        recorder: Recorder { pool: pool.clone(), clock: clock.clone(), worker_name: worker_name.clone() },
        ended,
        upkeep: Upkeep::new(settings, pool.clone(), clock.clone(), worker_name),
        session_url: settings.database.session_url.as_ref().map_or(url, |url| url.expose_secret()).to_owned(),
        bell,
        clock,
        pool,
        shutdown,
    })
}

impl Door {
    /// A worker listens on nothing.
    pub fn port(&self) -> Option<u16> {
        None
    }

    /// What must hold for it to be of use: the database answers, and the coming days have partitions.
    pub fn readiness(&self) -> Vec<ReadinessCheck> {
        let pool = self.pool.clone();
        vec![ReadinessCheck::new("partitions", move || {
            let pool = pool.clone();
            async move {
                let mut connection = pool.acquire().await.map_err(|error| error.to_string())?;
                match partitions::days_ahead(&mut connection).await {
                    Ok(days) if days >= PARTITIONS_AHEAD_MIN => Ok(()),
                    Ok(days) => Err(format!("only {days} days of partitions ahead; run `trunkline migrate`")),
                    Err(error) => Err(error.to_string()),
                }
            }
        })]
    }

    /// Works until a stop is requested; then claims nothing more, lets what was sent come to its end within
    /// `worker.drain`, and gives the rest back.
    pub async fn run_until_stopped(self) {
        let Self { engine, recorder, ended, upkeep, session_url, bell, clock, pool, shutdown } = self;
        let clock_task = tokio::spawn(time::follow(pool.clone(), move |now, round_trip| {
            clock.set(now, round_trip);
        }));
        let listener = tokio::spawn(listen(session_url, bell, shutdown.clone()));
        let upkeep = tokio::spawn(upkeep.run(shutdown.clone()));
        let recorder = tokio::spawn(recorder.run(ended));
        tracing::info!("worker started");
        // Dropping the engine drops the last sender, which ends the recorder once it has written everything.
        engine.run(shutdown).await;
        join(recorder).await;
        join(upkeep).await;
        listener.abort();
        clock_task.abort();
        pool.close().await;
        tracing::info!("worker stopped");
    }
}

async fn join(task: JoinHandle<()>) {
    if let Err(error) = task.await {
        tracing::error!(%error, "a part of the worker ended by itself");
    }
}

/// Host name and process id: what a person needs to find the process that made an attempt.
fn worker_name() -> String {
    format!("{}:{}", trunkline_boot::host::name(), std::process::id())
}
