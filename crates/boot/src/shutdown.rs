//! One word for the whole process: stop.

use std::io;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Tells every part of a process that it should finish. Clones are the same switch; it cannot be undone.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    token: CancellationToken,
}

impl Shutdown {
    /// A switch that nothing but [`Shutdown::trigger`] sets off.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A switch that SIGTERM, SIGINT and SIGHUP set off. Call it inside the tokio runtime, early: from
    /// here on these signals no longer end the process by themselves.
    ///
    /// # Errors
    /// The signal handlers cannot be installed.
    pub fn on_signals() -> io::Result<Self> {
        let shutdown = Self::new();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let trigger = shutdown.clone();
        tokio::spawn(async move {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
                _ = hangup.recv() => "SIGHUP",
            };
            tracing::info!(signal = name, "stopping");
            trigger.trigger();
        });
        Ok(shutdown)
    }

    /// Asks everyone to stop. Asking again changes nothing.
    pub fn trigger(&self) {
        self.token.cancel();
    }

    /// Waits until a stop is asked for; at once if it was already. Safe to drop half-way.
    pub async fn requested(&self) {
        self.token.cancelled().await;
    }

    /// Whether a stop was asked for.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.token.is_cancelled()
    }
}

#[cfg(test)]
mod tests {
    use super::Shutdown;

    #[tokio::test]
    async fn a_clone_is_the_same_switch() {
        let shutdown = Shutdown::new();
        let waiting = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { shutdown.requested().await }
        });
        assert!(!shutdown.is_requested());
        shutdown.trigger();
        waiting.await.unwrap();
        assert!(shutdown.is_requested());
    }
}
