//! Connections that are kept for the next call to the same origin.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::connection::Connection;
use super::target::Origin;

/// A connection unused for longer is closed: shorter than the usual servers' own limit, so that we rarely write into one
/// that is just being closed.
const IDLE_MAX: Duration = Duration::from_secs(20);

/// How often connections whose time is over are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// Idle connections by what they lead to.
pub(super) struct IdleConnections {
    state: Mutex<State>,
    count_max: usize,
}

#[derive(Default)]
struct State {
    /// Each list has the longest unused first, and at least one.
    by_origin: HashMap<Arc<Origin>, Vec<Idle>>,
    count: usize,
}

struct Idle {
    connection: Box<Connection>,
    since: Instant,
}

impl IdleConnections {
    /// Room for that many, and a task that closes what is not used again, for as long as the room is there.
    ///
    /// The bound is over all origins, not for each: any number of endpoints may share an origin, such as a gateway.
    pub(super) fn new(count_max: usize) -> Arc<Self> {
        let idle = Arc::new(Self { state: Mutex::default(), count_max });
        tokio::spawn(sweep(Arc::downgrade(&idle)));
        idle
    }

    /// A connection that is still open, the last used first: the others may then grow old.
    pub(super) async fn take(&self, origin: &Arc<Origin>) -> Option<Box<Connection>> {
        while let Some(mut connection) = self.pop(origin) {
            if connection.is_usable().await {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection; where there is no room for it, it is closed.
    pub(super) fn keep(&self, origin: &Arc<Origin>, connection: Box<Connection>) {
        let idle = Idle { connection, since: Instant::now() };
        let mut state = self.lock();
        if state.count >= self.count_max {
            return;
        }
        // Cloning the key only where it is new would take a second look-up; this is the cheaper one.
        let kept = match state.by_origin.get_mut(origin) {
            Some(kept) => kept,
            None => state.by_origin.entry(origin.clone()).or_default(),
        };
        kept.push(idle);
        state.count += 1;
    }

    fn pop(&self, origin: &Arc<Origin>) -> Option<Box<Connection>> {
        let mut state = self.lock();
        let idle = state.by_origin.get_mut(origin)?.pop()?;
        state.count -= 1;
        drop(state);
        (idle.since.elapsed() < IDLE_MAX).then_some(idle.connection)
    }

    /// Takes out what was unused for too long as of `now`.
    fn expired(&self, now: Instant) -> Vec<Idle> {
        let mut state = self.lock();
        let mut expired = Vec::new();
        state.by_origin.retain(|_, kept| {
            let count = kept.partition_point(|idle| now.duration_since(idle.since) >= IDLE_MAX);
            expired.extend(kept.drain(..count));
            !kept.is_empty()
        });
        state.count -= expired.len();
        expired
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in a critical section can panic half-way but for want of memory.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn sweep(idle: Weak<IdleConnections>) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        let Some(idle) = idle.upgrade() else { return };
        // Closed here, outside the lock.
        drop(idle.expired(Instant::now()));
    }
}
