//! When to look for work: at a notification, when something comes due, when capacity is freed, and at the latest at
//! the next poll, which is the truth that the others only hasten.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use trunkline_boot::Shutdown;
use trunkline_store::wake::Listener;

/// After the notification connection was lost.
const RECONNECT: Duration = Duration::from_secs(1);

/// Rung by whoever knows that looking is worth while. Rings that nobody waits for fold into one.
#[derive(Clone, Default)]
pub(crate) struct Bell(Arc<Notify>);

impl Bell {
    pub(crate) fn ring(&self) {
        self.0.notify_one();
    }

    /// Waits for a ring, `wait` at most.
    pub(crate) async fn rung_within(&self, wait: Duration) {
        // Both ends mean the same: look.
        let _ = tokio::time::timeout(wait, self.0.notified()).await;
    }
}

/// Rings for every notification of the database. Without that connection the worker polls, and says so once.
pub(crate) async fn listen(session_url: String, bell: Bell, shutdown: Shutdown) {
    let mut told = false;
    loop {
        match Listener::connect(&session_url).await {
            Ok(mut listener) => {
                told = false;
                // Whatever was committed while nobody listened.
                bell.ring();
                while listener.notified().await.is_ok() {
                    bell.ring();
                }
            }
            Err(error) if !told => {
                told = true;
                tracing::warn!(%error, "no notifications from the database: polling; set database.session_url where database.url is a pooler");
            }
            Err(_) => {}
        }
        tokio::select! {
            () = shutdown.requested() => return,
            () = tokio::time::sleep(RECONNECT) => {}
        }
    }
}
