//! The three doors under one shape, so that one process can run any of them, or all.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use trunkline_boot::{ReadinessCheck, Settings, Shutdown};

/// A door that holds its port and waits to be run.
pub(crate) struct OpenDoor {
    /// What people call it.
    pub(crate) name: &'static str,
    /// Where it listens; the worker listens on nothing.
    pub(crate) port: Option<u16>,
    /// What must hold for it to be of use.
    pub(crate) readiness: Vec<ReadinessCheck>,
    /// Serves until the shutdown it was opened with, then drains.
    pub(crate) run_until_stopped: BoxFuture<'static, anyhow::Result<()>>,
}

/// Opens the api.
///
/// # Errors
/// As the door's `build`: settings, port, database or schema.
pub(crate) async fn api(settings: &Settings, shutdown: Shutdown) -> anyhow::Result<OpenDoor> {
    let door = trunkline_api::build(settings, shutdown).await?;
    Ok(OpenDoor {
        name: "api",
        port: Some(door.port()),
        readiness: door.readiness(),
        run_until_stopped: async { Ok(door.run_until_stopped().await?) }.boxed(),
    })
}

/// Opens the worker.
///
/// # Errors
/// As the door's `build`: settings, database or schema.
pub(crate) async fn worker(settings: &Settings, shutdown: Shutdown) -> anyhow::Result<OpenDoor> {
    let door = trunkline_worker::build(settings, shutdown).await?;
    Ok(OpenDoor {
        name: "worker",
        port: door.port(),
        readiness: door.readiness(),
        run_until_stopped: async {
            door.run_until_stopped().await;
            Ok(())
        }
        .boxed(),
    })
}

/// Opens the receiver.
///
/// # Errors
/// As the door's `build`: settings, port, database or schema.
pub(crate) async fn receiver(settings: &Settings, shutdown: Shutdown) -> anyhow::Result<OpenDoor> {
    let door = trunkline_receiver::build(settings, shutdown).await?;
    Ok(OpenDoor {
        name: "receiver",
        port: Some(door.port()),
        readiness: door.readiness(),
        run_until_stopped: async { Ok(door.run_until_stopped().await?) }.boxed(),
    })
}
