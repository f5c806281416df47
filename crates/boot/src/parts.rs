//! Parts of a door, each a task of its own: one whose code panics begins again, so that a door never goes on with a part missing.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::metrics::Counter;

/// Between a panic and the next beginning: what caused it may be there still.
const RESTART_WAIT: Duration = Duration::from_secs(1);

/// Runs a part until it comes to its end. Each panic is counted, and told beside the panic's own line, which names the place.
pub async fn keep_running<P: Send>(
    name: &'static str,
    panics: &Counter,
    mut part: P,
    run: impl for<'a> Fn(&'a mut P) -> BoxFuture<'a, ()> + Send,
) {
    // What a part keeps between its rounds stays as it was when it panicked: counts, gathered news, a queue to read from.
    while AssertUnwindSafe(run(&mut part)).catch_unwind().await.is_err() {
        panics.increment(1);
        tracing::error!(part = name, "a part of this process panicked; it begins again");
        tokio::time::sleep(RESTART_WAIT).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_part_that_panics_begins_again_with_what_it_had() {
        let rounds = Arc::new(AtomicU32::new(0));
        keep_running("test", &Counter::noop(), rounds.clone(), |rounds| {
            async move { assert!(rounds.fetch_add(1, Ordering::Relaxed) == 1, "not yet") }.boxed()
        })
        .await;
        assert_eq!(rounds.load(Ordering::Relaxed), 2);
    }
}
