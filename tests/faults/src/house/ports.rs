//! Ports that stay the same over restarts, as a load balancer's list of replicas does.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::bail;

/// Below the range that the system takes the ports of outgoing connections from (32768-60999 on Linux): a port there
/// could be taken by one of the clients while its server is down, or even be connected to itself.
const FIRST: u16 = 20_000;
const LAST: u16 = 29_999;

/// A port on loopback that nobody listens on, never given twice in one run.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Runs side by side begin at different places.
    let offset = u16::try_from(std::process::id() % 90).unwrap_or(0) * 100;
    for _ in FIRST..=LAST {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + offset.wrapping_add(step) % (LAST - FIRST);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port between {FIRST} and {LAST}")
}
