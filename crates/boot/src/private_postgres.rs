//! A PostgreSQL of our own: for `trunkline dev` and for tests, never for a door.
//!
//! It listens on loopback only, with a random password, and ends with its owner: a guard process holds one end of a
//! pipe whose other end is ours, so that even a kill -9 of the owner stops the server.

mod cluster;
mod download;
mod error;
mod guard;
mod place;
mod programs;

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::time::{Duration, Instant};

pub use error::PrivatePostgresError;

use cluster::Cluster;
use guard::Guard;
use place::Place;
use programs::Programs;

/// How long a server may take to accept connections; recovery after a crash is the slow case.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// Free ports are found by asking for one and letting it go, so another process can be faster.
const PORT_TRIES: u32 = 3;

/// Whether data survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// Data are found again by the next start on the same folder; crashes lose nothing.
    #[default]
    Persistent,
    /// Data are removed at the end, and the server saves itself the work of making them survive a crash.
    Ephemeral,
}

/// What to start.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Where data live. A persistent server needs it; an ephemeral one takes a temporary folder where there is none.
    pub data_dir: Option<PathBuf>,
    /// Whether data survive.
    pub kind: Kind,
    /// The folder of `postgres` and `initdb`; looked for, and at last downloaded, where there is none.
    pub programs: Option<PathBuf>,
    /// Server settings beyond ours: name and value.
    pub settings: Vec<(String, String)>,
}

/// A server that runs until this is stopped or dropped, or the process is gone.
#[derive(Debug)]
pub struct PrivatePostgres {
    guard: Guard,
    url: String,
    folder: PathBuf,
    version: String,
}

impl PrivatePostgres {
    /// Finds the programs, makes the data if there are none, starts the server and waits until it accepts connections.
    ///
    /// # Errors
    /// When there are no programs and none can be downloaded, the data are in use by another server, or the server does
    /// not start; the message says what to do.
    pub async fn start(options: Options) -> Result<Self, PrivatePostgresError> {
        let place = Place::prepare(&options)?;
        let programs = Programs::find(options.programs.as_deref(), &place).await?;
        let cluster = Cluster::open(&place, &programs, options.kind)?;
        let mut port = cluster.remembered_port().filter(|port| is_free(*port));
        for _ in 1..PORT_TRIES {
            let attempt = port.take().map_or_else(free_port, Ok)?;
            match launch(&cluster, &programs, &options, attempt).await {
                Err(PrivatePostgresError::DidNotStart { log }) if log.contains("Address already in use") => {}
                other => return other,
            }
        }
        launch(&cluster, &programs, &options, free_port()?).await
    }

    /// How to connect, as superuser, to the database `trunkline`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where the data are. As root this can lie outside the data folder: see the crate's README.
    #[must_use]
    pub fn folder(&self) -> &std::path::Path {
        &self.folder
    }

    /// The server's version, such as `15.18`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Stops the server and waits for its end. Blocks for as long as that takes, mostly well under a second.
    pub fn stop(self) {
        self.guard.stop();
    }
}

async fn launch(
    cluster: &Cluster,
    programs: &Programs,
    options: &Options,
    port: u16,
) -> Result<PrivatePostgres, PrivatePostgresError> {
    cluster.remember_port(port)?;
    let mut guard = Guard::launch(cluster, programs, options, port)?;
    let started = Instant::now();
    while !cluster.accepts_connections() {
        if guard.has_ended() || started.elapsed() > START_PATIENCE {
            guard.stop();
            return Err(PrivatePostgresError::DidNotStart { log: cluster.log_tail() });
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(PrivatePostgres {
        guard,
        url: cluster.url(port),
        folder: cluster.folder().to_owned(),
        version: programs.version().to_owned(),
    })
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn free_port() -> Result<u16, PrivatePostgresError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let address = listener.and_then(|listener| listener.local_addr());
    address
        .map(|address| address.port())
        .map_err(|source| PrivatePostgresError::io("finding a free port", source))
}
