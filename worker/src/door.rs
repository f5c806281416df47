//! Putting a worker together, and taking it apart in order.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use secrecy::ExposeSecret;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use trunkline_boot::metrics::{self, LookAtPool, PoolUse, WatchedPool};
use trunkline_boot::parts::keep_running;
use trunkline_boot::settings::SecretsKey;
use trunkline_boot::{Clock, ReadinessCheck, Settings, SettingsError, Shutdown, exit_codes};
use trunkline_egress::{Lookup, system_lookup};
use trunkline_store::pool::InvalidUrl;
use trunkline_store::schema::SchemaError;
use trunkline_store::{
    Address, Pool, Purpose, Role, StoreError, citus, partitions, pool, schema, time, workers,
};
use trunkline_vault::Vault;

use crate::attempt::{Ended, Sender, SenderError};
use crate::desk::Desk;
use crate::engine::{Engine, Parts};
use crate::keeper::{Identity, Keeper, lane_lease, remembers};
use crate::lanes::Lanes;
use crate::metrics::METRICS;
use crate::open_files;
use crate::operational::Crier;
use crate::recorder::{Recorder, Stuck};
use crate::replays::Replayer;
use crate::retention::Retention;
use crate::roster::CallableFactory;
use crate::sampler::Sampler;
use crate::session::SessionKeeper;
use crate::spare::Spare;
use crate::upkeep::Upkeep;
use crate::wake::{Bell, Mailbox};

/// Connections for claims, looks, loads and lanes: as many as can be asked at one time, and one to give back.
const CLAIM_CONNECTIONS: u32 = 5;

/// The recorder writes one batch at a time, and waits for nobody.
const RECORD_CONNECTIONS: u32 = 1;

/// Of fewer, one slow look would keep a worker from saying that it is alive.
const CONNECTIONS_MIN: u32 = 6;
const CONNECTIONS_FOR: &str = "a worker claims, looks, records and says that it is alive at the same time";

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

impl BuildError {
    /// What a process ends with that does not start because of it.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Settings(_) | Self::Url(_) | Self::Vault(_) => exit_codes::SETTINGS,
            Self::Schema(SchemaError::Store(error)) | Self::Store(error) if error.retry_after().is_some() => {
                exit_codes::UNAVAILABLE
            }
            _ => exit_codes::FAILED,
        }
    }
}

/// A worker that is ready to run.
pub struct Door {
    engine: Box<Engine>,
    recorder: Recorder,
    ended: mpsc::Receiver<Ended>,
    keeper: Keeper,
    session: SessionKeeper,
    upkeep: Upkeep,
    sampler: Box<Sampler>,
    pools: Vec<WatchedPool>,
    replayer: Replayer,
    retention: Retention,
    crier: Crier,
    clock: Clock,
    pool: Pool,
    shutdown: Shutdown,
}

/// Prepares a worker: checks the schema and the keys, and sends nothing yet.
///
/// # Errors
/// When a setting is missing, the database is away, or its schema is not this release's.
pub async fn build(settings: &Settings, shutdown: Shutdown) -> Result<Door, BuildError> {
    build_asking(settings, system_lookup(settings.delivery.connect_timeout), shutdown).await
}

/// The same, but names of endpoints mean what `lookup` says: for tests whose names are nobody's.
///
/// # Errors
/// As [`build`].
pub async fn build_asking(
    settings: &Settings,
    lookup: Lookup,
    shutdown: Shutdown,
) -> Result<Door, BuildError> {
    let url = settings.require_database_url()?.expose_secret();
    let connections = settings.require_connections(CONNECTIONS_MIN, CONNECTIONS_FOR)?;
    let address = Address::new(url, settings.database.is_pooled());
    let vault = Arc::new(Vault::new(settings.require_secrets_keys()?.iter().map(SecretsKey::as_pair))?);
    let mut connection = pool::connect(address, Purpose::Engine).await?;
    schema::require_current(&mut connection, &[Role::Worker]).await?;
    let address = address.distributed(citus::is_distributed(&mut connection).await?);
    let claim_connections = CLAIM_CONNECTIONS.min(connections / 2);
    let engine_connections = connections - claim_connections - RECORD_CONNECTIONS;
    let pool = pool::open_as(address, Role::Worker, Purpose::Engine, engine_connections)?;
    let claim_pool = pool::open_as(address, Role::Worker, Purpose::Claim, claim_connections)?;
    let record_pool = pool::open_as(address, Role::Worker, Purpose::Record, RECORD_CONNECTIONS)?;
    let clock = Clock::new();
    let (now, round_trip) = time::read_first(&pool).await?;
    clock.set(now, round_trip);

    let identity = Identity::of_this_process();
    let lease = lane_lease(settings.worker.lease);
    let (lanes, mailbox, keeper_bell) = (Lanes::new(lease), Mailbox::default(), Bell::default());
    let (since, session) = watch::channel(None);
    let (stuck, spare) = (Stuck::default(), Spare::of(engine_connections));
    let (herald, crier) = Crier::new(pool.clone(), clock.clone());
    // Twice what can be claimed: the engine claims no more than finds room here when it has ended.
    let (sender, ended) = mpsc::channel(settings.worker.concurrency * 2);
    let parts = Parts {
        desk: Desk {
            pool: claim_pool.clone(),
            clock: clock.clone(),
            lease: settings.worker.lease,
            worker_number: identity.number(),
        },
        clock: clock.clone(),
        lanes: lanes.clone(),
        mailbox: mailbox.clone(),
        sender: Sender::asking(settings, lookup)?,
        factory: CallableFactory::new(settings, vault),
        recorder: sender,
        stuck: stuck.clone(),
    };
    let upkeep = Upkeep::new(settings, pool.clone(), spare.clone(), clock.clone(), herald.clone());
    let look = |pool: &Pool| -> LookAtPool {
        let pool = pool.clone();
        Box::new(move || {
            let (used, idle, max) = pool::usage(&pool);
            PoolUse { used, idle, max }
        })
    };
    // Nobody waits for the recorder's connection but the recorder.
    let pools: Vec<WatchedPool> = vec![("engine", look(&pool)), ("claim", look(&claim_pool))];
    Ok(Door {
        pools,
        sampler: Box::new(Sampler::new(pool.clone(), spare.clone(), clock.clone(), settings)),
        engine: Box::new(Engine::new(settings, parts)),
        recorder: Recorder {
            pool: record_pool,
            engine_pool: pool.clone(),
            clock: clock.clone(),
            worker_name: identity.name.clone(),
            stuck,
            herald: herald.clone(),
        },
        ended,
        session: SessionKeeper {
            url: settings.database.direct_url().cloned(),
            key: workers::session_key(identity.id),
            mailbox: mailbox.clone(),
            keeper: keeper_bell.clone(),
            lanes: lanes.clone(),
            since,
        },
        keeper: Keeper {
            pool: claim_pool,
            clock: clock.clone(),
            identity,
            lease,
            remembers: remembers(settings.worker.lease),
            lanes,
            session,
            bell: keeper_bell,
            engine: mailbox.clone(),
            upkeep: upkeep.gained(),
        },
        retention: Retention::new(settings, url, clock.clone(), herald),
        upkeep,
        replayer: Replayer { pool: pool.clone(), spare, clock: clock.clone(), engine: mailbox },
        crier,
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
        let Self {
            engine,
            recorder,
            ended,
            keeper,
            session,
            upkeep,
            sampler,
            pools,
            replayer,
            retention,
            crier,
            clock,
            pool,
            shutdown,
        } = self;
        open_files::ask_for_more();
        metrics::tell_build("worker", env!("CARGO_PKG_VERSION"));
        let clock_task = tokio::spawn(time::follow(pool.clone(), move |now, round_trip| {
            clock.set(now, round_trip);
        }));
        let engine_is_done = CancellationToken::new();
        // Each future holds its own handle, since a part may begin again.
        let stop = || shutdown.clone();
        let (stop_session, stop_keeper, stop_upkeep) = (stop(), stop(), stop());
        let (stop_sampler, stop_replayer, stop_retention) = (stop(), stop(), stop());
        let is_done = engine_is_done.clone();
        let session = keep("session", session, move |part| part.run(stop_session.clone()).boxed());
        let keeper =
            keep("lanes", keeper, move |part| part.run(stop_keeper.clone(), is_done.clone()).boxed());
        let upkeep = keep("upkeep", upkeep, move |part| part.run(stop_upkeep.clone()).boxed());
        let sampler = keep("sampler", sampler, move |part| part.run(stop_sampler.clone()).boxed());
        let pools = tokio::spawn(metrics::follow_pools("worker", pools));
        let replayer = keep("replays", replayer, move |part| part.run(stop_replayer.clone()).boxed());
        let retention = keep("retention", retention, move |part| part.run(stop_retention.clone()).boxed());
        let crier = keep("operational events", crier, |part| part.run().boxed());
        let recorder = keep("recorder", (recorder, ended), |(part, ended)| part.run(ended).boxed());
        tracing::info!("worker started");
        // Dropping the engine drops the last sender, which ends the recorder once it has written everything.
        let end = engine.run(shutdown).await;
        join("recorder", recorder, end).await;
        engine_is_done.cancel();
        join("lanes", keeper, end).await;
        // Last, because its lock tells the others that this worker lives.
        session.abort();
        join("upkeep", upkeep, end).await;
        join("sampler", sampler, end).await;
        pools.abort();
        join("replays", replayer, end).await;
        join("retention", retention, end).await;
        // Ends when nobody is left who could tell it something.
        join("operational events", crier, end).await;
        clock_task.abort();
        let _ = timeout_at(end, pool.close()).await;
        tracing::info!("worker stopped");
    }
}

fn keep<P: Send + 'static>(
    name: &'static str,
    part: P,
    run: impl for<'a> Fn(&'a mut P) -> BoxFuture<'a, ()> + Send + 'static,
) -> JoinHandle<()> {
    tokio::spawn(keep_running(name, &METRICS.panics, part, run))
}

/// Waits for a part until then.
async fn join(name: &'static str, mut task: JoinHandle<()>, end: Instant) {
    match timeout_at(end, &mut task).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(part = name, %error, "a part of the worker ended by itself"),
        Err(_) => {
            task.abort();
            tracing::warn!(
                part = name,
                "a part of the worker did not come to its end in time; others take over what it left"
            );
        }
    }
}
