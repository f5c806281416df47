//! Names to addresses as this machine means them, without a thread: `/etc/hosts` and the name servers of `/etc/resolv.conf`.
//!
//! getaddrinfo blocks its thread for as long as name servers do not answer, past every deadline of whoever asked: a domain whose
//! servers are silent would take thread after thread from all others.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use hickory_resolver::config::{
    LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use hickory_resolver::{Hosts, TokioResolver};

/// What turns a name into addresses; none where the name has none.
pub type Lookup = Arc<
    dyn Fn(String) -> Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, LookupError>> + Send>> + Send + Sync,
>;

/// Why nobody knows whether a name has addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// The servers of the name do not answer, or say that they cannot.
    #[error("{0}")]
    OfName(String),
    /// The name servers of this machine answer nothing, or it cannot ask them: whatever the name is.
    #[error("{0}")]
    Ours(String),
}

/// The longest that one look-up takes.
const LIMIT: Duration = Duration::from_secs(3);

/// What a look-up may take of all the time that its caller has; as much again is for asking whether the name servers are there at all,
/// and for the connection.
const SHARE: u32 = 2;

/// A question is put so many times, at other name servers too where there are several: packets get lost.
const TRIES: u32 = 4;

/// How long it is believed that the name servers are there, or away.
const BELIEVED_FOR: Duration = Duration::from_secs(2);

/// The files are looked at so often: an address that came by DHCP moves without a restart.
const FILES_LOOKED_AT: Duration = Duration::from_secs(5);

const FILES: [&str; 2] = ["/etc/hosts", "/etc/resolv.conf"];

/// Names as this machine means them. `patience` is how long the caller waits for a connection, look-up included.
pub fn system_lookup(patience: Duration) -> Lookup {
    let system = Arc::new(System { limit: LIMIT.min(patience / SHARE), reading: Mutex::default() });
    Arc::new(move |name| {
        let system = system.clone();
        Box::pin(async move { system.names()?.addresses(&name).await })
    })
}

struct System {
    limit: Duration,
    reading: Mutex<Option<Reading>>,
}

/// What the files said.
struct Reading {
    looked_at: Instant,
    changed_at: [Option<SystemTime>; 2],
    names: Arc<Names>,
}

impl System {
    fn names(&self) -> Result<Arc<Names>, LookupError> {
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reading) = &*reading
            && reading.looked_at.elapsed() < FILES_LOOKED_AT
        {
            return Ok(reading.names.clone());
        }
        let changed_at = FILES.map(|file| fs::metadata(file).and_then(|file| file.modified()).ok());
        let names = match &*reading {
            Some(reading) if reading.changed_at == changed_at => reading.names.clone(),
            _ => Arc::new(Names::of_system(self.limit)?),
        };
        *reading = Some(Reading { looked_at: Instant::now(), changed_at, names: names.clone() });
        Ok(names)
    }
}

/// Names by one list of hosts and one set of name servers.
struct Names {
    hosts: Hosts,
    resolver: TokioResolver,
    limit: Duration,
    /// When they were last asked whether they are there, and whether they were.
    servers: tokio::sync::Mutex<Option<(Instant, bool)>>,
}

impl Names {
    fn of_system(limit: Duration) -> Result<Self, LookupError> {
        let hosts = Hosts::from_system().unwrap_or_default();
        // "If no nameserver entries are present, the default is to use the name server on the local machine" (resolv.conf(5)).
        let (config, options) = read_system_conf().unwrap_or_else(|_| {
            let local = NameServerConfig::udp_and_tcp(Ipv4Addr::LOCALHOST.into());
            (ResolverConfig::from_parts(None, Vec::new(), vec![local]), ResolverOpts::default())
        });
        Self::new(hosts, config, options, limit)
    }

    fn new(
        hosts: Hosts,
        config: ResolverConfig,
        options: ResolverOpts,
        limit: Duration,
    ) -> Result<Self, LookupError> {
        // The domain in the host's own name is searched where no other is named.
        let (domain, search, servers) = config.into_parts();
        let config = ResolverConfig::from_parts(domain.filter(|_| search.is_empty()), search, servers);
        let mut builder =
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()).with_options(options);
        let options = builder.options_mut();
        // All tries of the slower of the two questions (A and AAAA) end within the limit: some servers leave one unanswered.
        options.timeout = options.timeout.min(limit / (TRIES + 1));
        options.attempts = TRIES as usize - 1;
        // Which getaddrinfo prefers where there is a way; where there is none, its address fails at once (RFC 8305, section 4).
        options.ip_strategy = LookupIpStrategy::Ipv6AndIpv4;
        // The list of hosts is asked here: a name in it has the addresses that stand there and no others.
        options.use_hosts_file = ResolveHosts::Never;
        // As getaddrinfo: what is mended counts from now on, and keeping answers is the name server's work.
        options.cache_size = 0;
        let resolver = builder.build().map_err(|error| LookupError::Ours(error.to_string()))?;
        Ok(Self { hosts, resolver, limit, servers: tokio::sync::Mutex::default() })
    }

    async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, LookupError> {
        // What is no name (a label of 64 characters) has no address.
        let Ok(name) = Name::from_ascii(name) else { return Ok(Vec::new()) };
        let listed = self.listed(&name);
        if !listed.is_empty() {
            return Ok(listed);
        }
        let error = match tokio::time::timeout(self.limit, self.resolver.lookup_ip(name)).await {
            Ok(Ok(found)) => return Ok(found.iter().collect()),
            Ok(Err(error)) if error.is_no_records_found() => return Ok(Vec::new()),
            Ok(Err(error)) => error,
            Err(_) => NetError::Timeout,
        };
        if let NetError::Io(error) = &error {
            return Err(LookupError::Ours(error.to_string()));
        }
        if !self.servers_are_there().await {
            return Err(LookupError::Ours("the name servers of /etc/resolv.conf do not answer".to_owned()));
        }
        Err(LookupError::OfName(match error {
            NetError::Dns(error) => format!("its name servers cannot say ({error})"),
            NetError::Timeout => "its name servers do not answer".to_owned(),
            error => error.to_string(),
        }))
    }

    fn listed(&self, name: &Name) -> Vec<IpAddr> {
        let listed = [RecordType::AAAA, RecordType::A]
            .map(|kind| self.hosts.lookup_static_host(&Query::query(name.clone(), kind)));
        let records = listed.iter().flatten().flat_map(hickory_resolver::lookup::Lookup::answers);
        records.filter_map(|record| record.data.ip_addr()).collect()
    }

    /// Whether the name servers of this machine answer for anybody. All know the root, or refuse to say; what forwards to others
    /// that are away fails. One asks for all who want to know.
    async fn servers_are_there(&self) -> bool {
        let mut known = self.servers.lock().await;
        if let Some((asked_at, are_there)) = *known
            && asked_at.elapsed() < BELIEVED_FOR
        {
            return are_there;
        }
        let asked = self.resolver.lookup(Name::root(), RecordType::NS);
        let are_there = match tokio::time::timeout(self.limit / SHARE, asked).await {
            Ok(Ok(_)) => true,
            Ok(Err(NetError::Dns(error))) => !matches!(error, DnsError::ResponseCode(ResponseCode::ServFail)),
            _ => false,
        };
        *known = Some((Instant::now(), are_there));
        are_there
    }
}

#[cfg(test)]
mod tests;
