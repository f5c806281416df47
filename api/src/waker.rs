//! Tells the workers that something is due: any number of requests to do so become one notification.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use trunkline_store::wake::{self, Hint, Wake};
use trunkline_store::{Pool, StoreError};

/// Asks for a notification; cheap, and never waits.
#[derive(Clone, Default)]
pub(crate) struct Waker {
    news: Arc<Mutex<News>>,
    bell: Arc<Notify>,
}

/// What the next notification will say.
#[derive(Default)]
struct News {
    hints: HashSet<Hint>,
    /// Something is due that no hint names.
    look: bool,
}

impl Waker {
    /// Something is due somewhere, such as after a retry by hand.
    pub(crate) fn wake(&self) {
        self.lock().look = true;
        self.bell.notify_one();
    }

    /// Something is due for these endpoints.
    pub(crate) fn wake_for(&self, hints: Vec<Hint>) {
        if hints.is_empty() {
            return;
        }
        self.lock().hints.extend(hints);
        self.bell.notify_one();
    }

    /// What waited behind others was let go. It may be older than all that was due, where no claim looks before a look has found it.
    pub(crate) fn wake_released(&self, released: &[Hint]) {
        if !released.is_empty() {
            self.wake();
        }
    }

    /// Sends notifications for ever, each in a transaction of its own after whatever asked for it was committed.
    pub(crate) async fn run(&self, pool: &Pool) {
        loop {
            self.bell.notified().await;
            let news = std::mem::take(&mut *self.lock());
            if !news.look && news.hints.is_empty() {
                // The last notification took along what this ring was for.
                continue;
            }
            let wake = if news.look { Wake::Look } else { Wake::of(news.hints.into_iter().collect()) };
            if let Err(error) = notify(pool, &wake).await {
                // Losing one costs a poll of the workers, no event.
                tracing::debug!(%error, "workers were not notified");
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn notify(pool: &Pool, wake: &Wake) -> Result<(), StoreError> {
    let mut connection = pool.acquire().await?;
    wake::notify(&mut connection, wake).await
}
