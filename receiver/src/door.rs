//! Putting a receiver together, and taking it apart in order.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::{App, HttpServer, web};
use secrecy::ExposeSecret;
use tokio::sync::Semaphore;
use trunkline_boot::metrics::{self, LookAtPool, PoolUse, WatchedPool};
use trunkline_boot::settings::{ClientSettings, SecretsKey};
use trunkline_boot::{
    BindError, Clients, Clock, ReadinessCheck, Settings, SettingsError, Shutdown, exit_codes, listen,
};
use trunkline_store::pool::InvalidUrl;
use trunkline_store::schema::SchemaError;
use trunkline_store::{Address, Pool, Purpose, Role, StoreError, pool, schema, time};
use trunkline_vault::{KeysRefused, OperatorKeys, Vault};

use crate::body::HELD_BYTES_MAX;
use crate::reception::Switches;
use crate::secrets::SecretCache;
use crate::state::State;
use crate::{routes, signature, sweep};

/// How long a stop waits for requests that have begun, in seconds; orchestrators tend to kill after 30.
const DRAIN_SECONDS: u64 = 20;

/// How long what a client still sends is read and dropped after an early answer, so that it gets to see the answer.
const LINGER: Duration = Duration::from_secs(5);

/// Connections per thread; each may hold a body of 1 MiB, and more wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 1024;

/// Why a receiver does not start.
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
    /// `receiver.bind` is taken.
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

/// A receiver that holds its port and is ready to run.
pub struct Door {
    listener: TcpListener,
    port: u16,
    state: web::Data<State>,
    receipt_retention: Duration,
    clients: ClientSettings,
    shutdown: Shutdown,
}

/// Prepares a receiver: checks settings, keys and schema, and takes the port. It answers once it runs.
///
/// # Errors
/// When a setting is missing or wrong, the database is away, its schema is not this release's, or the port is taken.
pub async fn build(settings: &Settings, shutdown: Shutdown) -> Result<Door, BuildError> {
    let url = settings.require_database_url()?.expose_secret();
    let address = Address::new(url, settings.database.is_pooled());
    let vault = open_vault(settings)?;
    schema::require_current(&mut pool::connect(address, Purpose::Request).await?, &[Role::Receiver]).await?;
    let pool = pool::open_as(address, Role::Receiver, Purpose::Request, settings.database.max_connections)?;
    let clock = Clock::new();
    let (now, round_trip) = time::read_first(&pool).await?;
    clock.set(now, round_trip);
    let bind = settings.receiver.bind;
    let listener = listen::for_clients(bind, "receiver.bind", settings.clients.body_timeout)?;
    Ok(Door {
        port: listener.local_addr().map_or(bind.port(), |local| local.port()),
        listener,
        state: web::Data::new(State {
            control: settings.receiver.control,
            operators: OperatorKeys::new(settings.operator.keys.iter().map(ExposeSecret::expose_secret)),
            switches: Switches::new(pool.clone()),
            secrets: SecretCache::new(pool.clone(), clock.clone(), vault),
            clients: Clients::new(&settings.clients),
            room: Arc::new(Semaphore::new(HELD_BYTES_MAX)),
            long_verifications: Semaphore::new(signature::LONG_MAX),
            body_timeout: settings.clients.body_timeout,
            pool,
            clock,
        }),
        receipt_retention: settings.receiver.receipt_retention,
        clients: settings.clients.clone(),
        shutdown,
    })
}

impl Door {
    /// The port that was taken.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What must hold for it to be of use: the database answers.
    #[must_use]
    pub fn readiness(&self) -> Vec<ReadinessCheck> {
        let pool = self.state.pool.clone();
        vec![ReadinessCheck::new("database", move || {
            let pool = pool.clone();
            async move { time::read(&pool).await.map(drop).map_err(|error| error.to_string()) }
        })]
    }

    /// Answers until a stop is requested; then takes no more connections and finishes the requests that have begun,
    /// within 20 s.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn run_until_stopped(self) -> io::Result<()> {
        let Self { listener, port, state, receipt_retention, clients, shutdown } = self;
        let clock = state.clock.clone();
        let follow = time::follow(state.pool.clone(), move |now, round_trip| {
            clock.set(now, round_trip);
        });
        let clock_task = tokio::spawn(follow);
        let sweeper = tokio::spawn(sweep::run(
            state.pool.clone(),
            state.clock.clone(),
            receipt_retention,
            shutdown.clone(),
        ));
        crate::metrics::begin();
        metrics::tell_build("receiver", env!("CARGO_PKG_VERSION"));
        let pool = state.pool.clone();
        let watched = pool.clone();
        let look: LookAtPool = Box::new(move || {
            let (used, idle, max) = pool::usage(&watched);
            PoolUse { used, idle, max }
        });
        let pools: Vec<WatchedPool> = vec![("request", look)];
        let pools = tokio::spawn(metrics::follow_pools("receiver", pools));
        let server = HttpServer::new(move || App::new().app_data(state.clone()).configure(routes::all))
            .disable_signals()
            .shutdown_signal(async move { shutdown.requested().await })
            .shutdown_timeout(DRAIN_SECONDS)
            .client_request_timeout(clients.head_timeout)
            .client_disconnect_timeout(LINGER)
            // Longer than the pools of senders keep theirs is better: the side that closes first cannot be surprised.
            .keep_alive(clients.idle_timeout)
            .max_connections(CONNECTIONS_MAX)
            .listen(listener)?;
        tracing::info!(port, "receiver started");
        let result = server.run().await;
        clock_task.abort();
        sweeper.abort();
        pools.abort();
        close(&pool).await;
        tracing::info!("receiver stopped");
        result
    }
}

/// Says goodbye to the database. The connections belonged to threads that have ended, so this may come to nothing; the
/// server notices the closed sockets either way.
async fn close(pool: &Pool) {
    let _in_time = tokio::time::timeout(Duration::from_secs(1), pool.close()).await;
}

fn open_vault(settings: &Settings) -> Result<Vault, BuildError> {
    Ok(Vault::new(settings.require_secrets_keys()?.iter().map(SecretsKey::as_pair))?)
}
