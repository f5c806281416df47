//! Who calls, behind load balancers too, and how often an address failed to log in.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use moka::sync::Cache;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::settings::ClientSettings;

const MINUTE: Duration = Duration::from_secs(60);

/// Addresses that are counted at one time, some 20 MB at worst. Beyond them those that failed most often stay.
const ADDRESSES_MAX: u64 = 100_000;

/// Keys looked up at one time for addresses that failed too often: enough that the good ones among them get in, too few to bother
/// the database.
const LOOK_UPS_MAX: usize = 2;

/// An IPv6 customer has a /64 at least, and would be a new client with each of its addresses.
const V6_NETWORK_BITS: u32 = 64;

/// The clients of one door.
pub struct Clients {
    trusted_proxies: Vec<IpNet>,
    failures_per_minute: u32,
    /// When the failures of an address are all forgiven: each adds its share of a minute.
    forgiven_at: Cache<Network, Arc<Mutex<Instant>>>,
    look_ups: Semaphore,
}

/// What failures are counted by: an IPv4 address, or an IPv6 /64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network(IpAddr);

impl Clients {
    /// Nobody has failed yet.
    #[must_use]
    pub fn new(settings: &ClientSettings) -> Self {
        Self {
            trusted_proxies: settings.trusted_proxies.clone(),
            failures_per_minute: settings.failed_logins_per_minute,
            forgiven_at: Cache::builder().max_capacity(ADDRESSES_MAX).time_to_idle(MINUTE).build(),
            look_ups: Semaphore::new(LOOK_UPS_MAX),
        }
    }

    /// Where a request comes from: the nearest address that is no trusted proxy. `forwarded_for` are the values of its
    /// `X-Forwarded-For` fields in order. That field only: a proxy that adds to one leaves another as the client wrote it.
    pub fn network<'a>(
        &self,
        peer: Option<SocketAddr>,
        forwarded_for: impl DoubleEndedIterator<Item = &'a str>,
    ) -> Network {
        let mut nearest = peer.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |peer| peer.ip()).to_canonical();
        // Each proxy appends whom it heard from, so the last entry is by the nearest one.
        let mut entries = forwarded_for.rev().flat_map(|value| value.rsplit(','));
        while self.is_trusted(nearest)
            && let Some(before) = entries.next().and_then(parse)
        {
            nearest = before;
        }
        Network::of(nearest)
    }

    /// How long a network must wait that failed too often; `None` = it need not.
    pub fn must_wait(&self, network: Network, now: Instant) -> Option<Duration> {
        let forgiven_at = *self.forgiven_at.get(&network)?.lock().unwrap_or_else(PoisonError::into_inner);
        // One more would fit in if what is not forgiven were a share less than a minute.
        let wait = forgiven_at.saturating_duration_since(now).saturating_sub(MINUTE - self.share()?);
        (!wait.is_zero()).then_some(wait)
    }

    /// Counts a failed login.
    pub fn note_failure(&self, network: Network, now: Instant) {
        let Some(share) = self.share() else { return };
        let entry = self.forgiven_at.get_with(network, || Arc::new(Mutex::new(now)));
        let mut forgiven_at = entry.lock().unwrap_or_else(PoisonError::into_inner);
        *forgiven_at = (*forgiven_at).max(now) + share;
        drop(forgiven_at);
        if self.must_wait(network, now).is_some() {
            tracing::warn!(client.network = %network, "an address failed to log in too often; it is answered 429 for a while");
        }
    }

    /// A turn to look a key up for a network that must wait: a good key gets in from there too, since it cannot be guessed and may
    /// belong to somebody else behind the same address. `None` = too many do so now.
    pub fn look_up(&self) -> Option<SemaphorePermit<'_>> {
        self.look_ups.try_acquire().ok()
    }

    fn share(&self) -> Option<Duration> {
        MINUTE.checked_div(self.failures_per_minute)
    }

    fn is_trusted(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(&address))
    }
}

impl Network {
    fn of(address: IpAddr) -> Self {
        Self(match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(address) => {
                let mask = u128::MAX << (u128::BITS - V6_NETWORK_BITS);
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
            }
        })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => address.fmt(formatter),
            IpAddr::V6(address) => write!(formatter, "{address}/{V6_NETWORK_BITS}"),
        }
    }
}

/// An address as proxies write it: alone, with a port, in brackets.
fn parse(entry: &str) -> Option<IpAddr> {
    let entry = entry.trim();
    let alone = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(entry);
    let address = alone.parse().or_else(|_| entry.parse::<SocketAddr>().map(|address| address.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests;
