//! Which replica is asked next: all in turn, or only those that say that they are ready, as behind a load balancer.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use crate::http_client;

/// How often a balancer asks each replica whether it is ready: a quick one, slower than a stop may assume.
const PROBE_EVERY: Duration = Duration::from_millis(200);

/// Ports that take turns. Clones share the turn.
#[derive(Clone)]
pub(crate) struct Rotation {
    ports: Arc<RwLock<Vec<u16>>>,
    turn: Arc<AtomicUsize>,
}

impl Rotation {
    /// These, whatever becomes of them.
    pub(crate) fn fixed(ports: Vec<u16>) -> Self {
        Self { ports: Arc::new(RwLock::new(ports)), turn: Arc::default() }
    }

    /// Those of `(port, admin port)` that were ready when they were last asked, now for the first time. Ends with the last
    /// clone.
    pub(crate) async fn balanced(replicas: Vec<(u16, u16)>) -> Self {
        let rotation = Self::fixed(ready(&replicas).await);
        let ports = Arc::downgrade(&rotation.ports);
        tokio::spawn(async move {
            while let Some(ports) = ports.upgrade() {
                let ready = ready(&replicas).await;
                // With nobody ready a balancer has no better idea than to go on as before.
                if !ready.is_empty() {
                    *ports.write().expect("nobody panics while holding it") = ready;
                }
                drop(ports);
                tokio::time::sleep(PROBE_EVERY).await;
            }
        });
        rotation
    }

    pub(crate) fn next(&self) -> u16 {
        let ports = self.ports.read().expect("nobody panics while holding it");
        ports[self.turn.fetch_add(1, Ordering::Relaxed) % ports.len()]
    }
}

async fn ready(replicas: &[(u16, u16)]) -> Vec<u16> {
    let mut ready = Vec::new();
    for (port, admin_port) in replicas {
        if http_client::get(*admin_port, "/readyz").await.is_ok_and(|reply| reply.status == 200) {
            ready.push(*port);
        }
    }
    ready
}
