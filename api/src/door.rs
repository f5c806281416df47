//! Putting an api together, and taking it apart in order.

use std::io;
use std::net::TcpListener;
use std::sync::LazyLock;
use std::time::Duration;

use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use secrecy::ExposeSecret;
use tokio::task::JoinHandle;
use trunkline_boot::metrics::{self, LookAtPool, PoolUse, WatchedPool};
use trunkline_boot::parts::keep_running;
use trunkline_boot::settings::{ClientSettings, SecretsKey};
use trunkline_boot::{
    BindError, Clients, Clock, ReadinessCheck, Settings, SettingsError, Shutdown, exit_codes, listen,
};
use trunkline_store::pool::InvalidUrl;
use trunkline_store::schema::SchemaError;
use trunkline_store::{Address, Pool, Purpose, Role, StoreError, citus, partitions, pool, schema, time};
use trunkline_vault::{KeysRefused, OperatorKeys, Vault};

use crate::auth::KeyCache;
use crate::body::Room;
use crate::ingest::{self, Flusher, Flushers};
use crate::metrics::METRICS;
use crate::rate::{Drawer, Rates};
use crate::schemas::Schemas;
use crate::share::{Exports, Searches};
use crate::state::State;
use crate::waker::Waker;
use crate::{frame, routes, saving};

/// How long a stop waits for requests that have begun, in seconds; orchestrators tend to kill after 30.
const DRAIN_SECONDS: u64 = 20;

/// How long a stop goes on accepting, so that load balancers that poll readiness send nothing into a closed door.
const GRACE: Duration = Duration::from_millis(500);

/// How long what a client still sends is read and dropped after an early answer, so that it gets to see the answer.
const LINGER: Duration = Duration::from_secs(5);

/// Clients' connections; more wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 8_192;

/// Files beside clients' connections and those to the database: listeners, what the runtime waits on, the standard three.
const FILES_RESERVED: usize = 24;

/// Fewer days of partitions ahead than this, and the api is not ready: publishing would soon fail.
const PARTITIONS_AHEAD_MIN: i32 = 2;

/// Why an api does not start.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A setting is missing.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// `database.url` is no address.
    #[error(transparent)]
    Url(#[from] InvalidUrl),
    /// `secrets.keys` are unusable.
    #[error("secrets.keys: {0}")]
    Vault(#[from] KeysRefused),
    /// The schema is not the one of this release, or the database is away.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The database is away.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// `api.bind` is taken.
    #[error(transparent)]
    Bind(#[from] BindError),
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

/// An api that holds its port and is ready to run.
pub struct Door {
    listener: TcpListener,
    port: u16,
    state: web::Data<State>,
    flushers: Flushers,
    wake_pool: Pool,
    pools: Vec<WatchedPool>,
    drawer: Drawer,
    draw_pool: Pool,
    clients: ClientSettings,
    client_connections_max: usize,
    shutdown: Shutdown,
}

/// Prepares an api: checks settings, keys and schema, and takes the port. It answers once it runs.
///
/// # Errors
/// When a setting is missing or wrong, the database is away, its schema is not this release's, or the port is taken.
pub async fn build(settings: &Settings, shutdown: Shutdown) -> Result<Door, BuildError> {
    let url = settings.require_database_url()?.expose_secret();
    let address = Address::new(url, settings.database.is_pooled());
    let vault = Vault::new(settings.require_secrets_keys()?.iter().map(SecretsKey::as_pair))?;
    let mut connection = pool::connect(address, Purpose::Request).await?;
    schema::require_current(&mut connection, Role::OF_API).await?;
    let address = address.distributed(citus::is_distributed(&mut connection).await?);
    let connections = settings.database.max_connections;
    let pool = pool::open_as(address, Role::Api, Purpose::Request, connections)?;
    let clock = Clock::new();
    let (now, round_trip) = time::read_first(&pool).await?;
    clock.set(now, round_trip);
    let bind = settings.api.bind;
    let listener = listen::for_clients(bind, "api.bind", settings.clients.body_timeout)?;
    let schemas = Schemas::new();
    schemas.look(&pool).await?;
    let waker = Waker::default();
    let ingest_pool = pool::open_as(address, Role::Ingest, Purpose::Ingest, ingest::CONNECTIONS)?;
    // One statement for all tenants at a time; apart, so that nobody's events wait behind another's tokens.
    let draw_pool = pool::open_as(address, Role::Ingest, Purpose::Request, 1)?;
    // The first publish needs both, and has no time to connect.
    drop(ingest_pool.connect_first().await?);
    drop(draw_pool.connect_first().await?);
    // Searches may take long; a few connections of their own keep them from those who publish.
    let searching = connections.div_ceil(2);
    let search_pool = pool::open_as(address, Role::Api, Purpose::Search, searching)?;
    let look = |pool: &Pool| -> LookAtPool {
        let pool = pool.clone();
        Box::new(move || {
            let (used, idle, max) = pool::usage(&pool);
            PoolUse { used, idle, max }
        })
    };
    let pools: Vec<WatchedPool> =
        vec![("request", look(&pool)), ("search", look(&search_pool)), ("ingest", look(&ingest_pool))];
    let (ingest, flushers) =
        ingest::queue(Flusher { pool: ingest_pool, clock: clock.clone(), waker: waker.clone() });
    let (rates, drawer) = Rates::new(settings.ingest.rate_per_tenant, settings.ingest.burst_per_tenant);
    let state = State {
        pool,
        searches: Searches::new(search_pool, searching),
        clock,
        vault,
        egress: saving::policy(settings),
        signup: settings.signup,
        operators: OperatorKeys::new(settings.operator.keys.iter().map(ExposeSecret::expose_secret)),
        keys: KeyCache::new(),
        clients: Clients::new(&settings.clients),
        room: Room::new(),
        body_timeout: settings.clients.body_timeout,
        rates,
        exports: Exports::new(),
        schemas,
        ingest,
        waker,
        attempt_timeout_max: settings.worker.attempt_timeout_max(),
        payload_bytes_max: settings.ingest.max_payload_bytes,
    };
    Ok(Door {
        port: listener.local_addr().map_or(bind.port(), |local| local.port()),
        listener,
        state: web::Data::new(state),
        flushers,
        pools,
        // One notification at a time.
        wake_pool: pool::open_as(address, Role::Ingest, Purpose::Claim, 1)?,
        drawer,
        draw_pool,
        clients: settings.clients.clone(),
        client_connections_max: client_connections_max(connections),
        shutdown,
    })
}

impl Door {
    /// The port that was taken.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What must hold for it to be of use: the database answers, and the coming days have partitions.
    pub fn readiness(&self) -> Vec<ReadinessCheck> {
        let pool = self.state.pool.clone();
        vec![ReadinessCheck::new("database", move || {
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

    /// Answers until a stop is requested; then takes no more connections, finishes the requests that have begun within
    /// 20 s, and writes what they queued.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn run_until_stopped(self) -> io::Result<()> {
        let Self {
            listener,
            port,
            state,
            flushers,
            wake_pool,
            pools,
            drawer,
            draw_pool,
            clients,
            client_connections_max,
            shutdown,
        } = self;
        metrics::tell_build("api", env!("CARGO_PKG_VERSION"));
        // Every series is there from the start: what never happened is 0 and not absent.
        LazyLock::force(&METRICS);
        let clock = state.clock.clone();
        let follow = time::follow(state.pool.clone(), move |now, round_trip| {
            clock.set(now, round_trip);
        });
        let last = state.clone();
        let drawing = (drawer, draw_pool, state.clock.clone());
        let background = [
            tokio::spawn(follow),
            tokio::spawn(metrics::follow_pools("api", pools)),
            keep("uses of keys", state.clone(), |state| {
                state.keys.follow_uses(&state.pool, &state.clock).boxed()
            }),
            keep("schemas", state.clone(), |state| state.schemas.follow(&state.pool).boxed()),
            keep("notifications", (state.waker.clone(), wake_pool), |(waker, pool)| waker.run(pool).boxed()),
            keep("draws", drawing, |(drawer, pool, clock)| drawer.run(pool, clock).boxed()),
        ];
        let flushers = tokio::spawn(flushers.run());
        let server = HttpServer::new(move || {
            App::new().app_data(state.clone()).wrap(from_fn(frame::around)).configure(routes::all)
        })
        .disable_signals()
        .shutdown_signal(async move {
            shutdown.requested().await;
            tokio::time::sleep(GRACE).await;
        })
        .shutdown_timeout(DRAIN_SECONDS)
        .client_request_timeout(clients.head_timeout)
        .client_disconnect_timeout(LINGER)
        .keep_alive(clients.idle_timeout)
        .max_connections(client_connections_max)
        .listen(listener)?;
        tracing::info!(port, "api started");
        let result = server.run().await;
        for task in background {
            task.abort();
        }
        // Whoever queued something was answered before the server ended, unless it ran out of time.
        flushers.abort();
        last.keys.note_uses(&last.pool, &last.clock).await;
        tracing::info!("api stopped");
        result
    }
}

fn keep<P: Send + 'static>(
    name: &'static str,
    part: P,
    run: impl for<'a> Fn(&'a mut P) -> BoxFuture<'a, ()> + Send + 'static,
) -> JoinHandle<()> {
    tokio::spawn(keep_running(name, &METRICS.panics, part, run))
}

/// Clients' connections for each thread: were they to take every file the process may open, none would be left to reach the
/// database with.
fn client_connections_max(database_connections: u32) -> usize {
    let to_database =
        (database_connections + database_connections.div_ceil(2) + ingest::CONNECTIONS + 2) as usize;
    let files = trunkline_boot::host::open_files_max().unwrap_or(usize::MAX);
    let clients = files.saturating_sub(to_database + FILES_RESERVED).clamp(8, CONNECTIONS_MAX);
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    clients.div_ceil(threads)
}
