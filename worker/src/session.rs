//! The worker's own connection to the database, apart from the pool: it hears notifications, and the lock it holds tells
//! the other workers that this one lives. When the process dies, PostgreSQL lets go of the lock within milliseconds.

use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::watch;
use trunkline_boot::Shutdown;
use trunkline_store::wake::{Session, Wake};

use crate::lanes::Lanes;
use crate::wake::{Bell, Mailbox};

/// After the connection was lost.
const RECONNECT: Duration = Duration::from_millis(250);

/// Keeps a session open.
pub(crate) struct SessionKeeper {
    /// `None`: there is nothing but a pooler, which passes neither locks nor notifications.
    pub(crate) url: Option<SecretString>,
    /// The key of the lock.
    pub(crate) key: i64,
    pub(crate) mailbox: Mailbox,
    pub(crate) keeper: Bell,
    pub(crate) lanes: Lanes,
    /// Since when the session has been open, if it is.
    pub(crate) since: watch::Sender<Option<Instant>>,
}

impl SessionKeeper {
    /// Works until the worker ends; without a session the worker polls, and says so once.
    pub(crate) async fn run(&self, shutdown: Shutdown) {
        let Some(url) = &self.url else {
            tracing::warn!(
                "no session with the database: polling; set database.session_url to the database itself, past the pooler"
            );
            return;
        };
        let mut told = false;
        loop {
            match Session::connect(url.expose_secret(), self.key).await {
                Ok(Some(session)) => {
                    told = false;
                    self.since.send_replace(Some(Instant::now()));
                    self.keeper.ring();
                    // Whatever was committed while nobody listened.
                    self.mailbox.post(Wake::Look);
                    self.listen(session).await;
                    self.since.send_replace(None);
                    // The lock is free, so the others take this worker for dead: from now on its lanes are theirs.
                    self.lanes.lose_all();
                }
                // The others take this worker for alive as long, and none of its work.
                Ok(None) => tell(&mut told, || {
                    tracing::warn!(
                        "no session with the database until it finds that the one before is gone: polling"
                    );
                }),
                Err(error) => tell(&mut told, || {
                    tracing::warn!(%error, "no session with the database: polling");
                }),
            }
            if shutdown.is_requested() {
                return;
            }
            tokio::time::sleep(RECONNECT).await;
        }
    }

    /// Passes on what is told, until the connection is lost.
    async fn listen(&self, mut session: Session) {
        while let Ok(Some(wake)) = session.next().await {
            match wake {
                Wake::LanesFree => self.keeper.ring(),
                wake => self.mailbox.post(wake),
            }
        }
    }
}

/// Once, until there is something else to tell.
fn tell(told: &mut bool, line: impl FnOnce()) {
    if !std::mem::replace(told, true) {
        line();
    }
}
