//! Tells the workers that something is due: any number of requests to do so become one notification.

use std::sync::Arc;

use tokio::sync::Notify;
use trunkline_store::{Pool, StoreError, wake};

/// Asks for a notification; cheap, and never waits.
#[derive(Clone, Default)]
pub(crate) struct Waker(Arc<Notify>);

impl Waker {
    pub(crate) fn wake(&self) {
        self.0.notify_one();
    }

    /// Sends notifications for ever, each in a transaction of its own after whatever asked for it was committed.
    pub(crate) async fn run(self, pool: Pool) {
        loop {
            self.0.notified().await;
            if let Err(error) = notify(&pool).await {
                // Losing one costs a poll of the workers, no event.
                tracing::debug!(%error, "workers were not notified");
            }
        }
    }
}

async fn notify(pool: &Pool) -> Result<(), StoreError> {
    let mut connection = pool.acquire().await?;
    wake::notify(&mut connection).await
}
