#![doc = include_str!("../README.md")]
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up should fail where it stands")]

use tokio::task::JoinHandle;
use trunkline_boot::{Settings, Shutdown};
use trunkline_egress::Lookup;
use trunkline_testkit::Client;

/// An api in this process, with a client for it.
pub struct Api {
    /// Where it listens.
    pub client: Client,
    running: Running,
}

/// A receiver in this process.
pub struct Receiver {
    /// Where it listens.
    pub client: Client,
    /// Its port on loopback.
    pub port: u16,
    running: Running,
}

/// A worker in this process.
pub struct Worker {
    running: Running,
}

/// A door's task and its switch. A test that fails drops it, which ends the door too.
struct Running {
    shutdown: Shutdown,
    task: JoinHandle<()>,
}

impl Running {
    async fn stop(self) {
        self.shutdown.trigger();
        let mut this = self;
        (&mut this.task).await.unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Api {
    /// Starts one.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(settings: &Settings) -> Self {
        let shutdown = Shutdown::new();
        let door = trunkline_api::build(settings, shutdown.clone()).await.unwrap();
        let client = Client::local(door.port());
        let task = tokio::spawn(async move { door.run_until_stopped().await.unwrap() });
        Self { client, running: Running { shutdown, task } }
    }

    /// Stops it in order.
    pub async fn stop(self) {
        self.running.stop().await;
    }
}

impl Receiver {
    /// Starts one.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(settings: &Settings) -> Self {
        let shutdown = Shutdown::new();
        let door = trunkline_receiver::build(settings, shutdown.clone()).await.unwrap();
        let port = door.port();
        let task = tokio::spawn(async move { door.run_until_stopped().await.unwrap() });
        Self { client: Client::local(port), port, running: Running { shutdown, task } }
    }

    /// Stops it in order.
    pub async fn stop(self) {
        self.running.stop().await;
    }
}

impl Worker {
    /// Starts one.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(settings: &Settings) -> Self {
        let shutdown = Shutdown::new();
        let door = trunkline_worker::build(settings, shutdown.clone()).await.unwrap();
        Self::running(door, shutdown)
    }

    /// Starts one to which names of endpoints mean what `lookup` says.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_asking(settings: &Settings, lookup: Lookup) -> Self {
        let shutdown = Shutdown::new();
        let door = trunkline_worker::build_asking(settings, lookup, shutdown.clone()).await.unwrap();
        Self::running(door, shutdown)
    }

    fn running(door: trunkline_worker::Door, shutdown: Shutdown) -> Self {
        let task = tokio::spawn(door.run_until_stopped());
        Self { running: Running { shutdown, task } }
    }

    /// Stops it in order.
    pub async fn stop(self) {
        self.running.stop().await;
    }
}
