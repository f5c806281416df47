//! Forgets old receipts.

use std::time::Duration;

use trunkline_boot::{Clock, Shutdown};
use trunkline_store::{Pool, StoreError, receiver};

/// Between two rounds.
const PAUSE: Duration = Duration::from_secs(60);

/// What one statement removes at most; fewer means that nothing is left.
const BATCH: u64 = 1_000;

/// Removes receipts older than `retention`, every minute, until a stop is requested. Every replica may do so at once:
/// they pass over the rows that another holds.
pub(crate) async fn run(pool: Pool, clock: Clock, retention: Duration, shutdown: Shutdown) {
    while !shutdown.is_requested() {
        match round(&pool, &clock, retention, &shutdown).await {
            Ok(0) => {}
            Ok(swept) => tracing::debug!(receipts.swept = swept, "old receipts were removed"),
            Err(error) => tracing::warn!(%error, "old receipts were not removed; the next round tries again"),
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = shutdown.requested() => {}
        }
    }
}

async fn round(
    pool: &Pool,
    clock: &Clock,
    retention: Duration,
    shutdown: &Shutdown,
) -> Result<u64, StoreError> {
    let before = clock.now() - retention;
    let mut swept = 0;
    // A connection per batch: webhooks that wait for one come in between.
    while !shutdown.is_requested() {
        let batch = receiver::sweep(&mut pool.acquire().await?, before).await?;
        swept += batch;
        if batch < BATCH {
            break;
        }
    }
    Ok(swept)
}
