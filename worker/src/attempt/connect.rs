//! From an origin to a connection: names, addresses, TCP, TLS. Only addresses that were checked are connected to.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;
use trunkline_boot::Settings;
use trunkline_domain::AttemptOutcome;
use trunkline_egress::{EgressPolicy, GuardedResolver, Lookup, LookupError, ResolveError};

use super::Failure;
use super::connection::Connection;
use super::failure::is_of_this_machine;
use super::proxy::Proxy;
use super::target::{Host, Origin};
use super::told::Told;

/// Bytes to and from an endpoint.
pub(super) type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// How long one address of several is waited for before the next is tried beside it (RFC 8305, section 5).
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);

/// Makes connections.
pub(super) struct Connector {
    policy: Arc<EgressPolicy>,
    resolver: GuardedResolver,
    proxy: Option<Proxy>,
    tls: TlsConnector,
    timeout: Duration,
    told: Told,
}

impl Connector {
    /// Whatever the environment says of proxies counts for nothing here: `egress.proxy` does.
    pub(super) fn new(
        settings: &Settings,
        roots: RootCertStore,
        lookup: Lookup,
    ) -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let egress = &settings.egress;
        let policy = Arc::new(EgressPolicy::new(egress.allow.clone(), egress.deny.clone()));
        Ok(Self {
            proxy: Proxy::new(egress, lookup.clone()),
            resolver: GuardedResolver::new(policy.clone(), lookup),
            policy,
            tls: TlsConnector::from(Arc::new(config)),
            timeout: settings.delivery.connect_timeout,
            told: Told::default(),
        })
    }

    /// Look-up, TCP and TLS, all within `delivery.connect_timeout`.
    pub(super) async fn connect(&self, origin: &Origin) -> Result<Box<Connection>, Failure> {
        let mut lacking = "";
        let made = tokio::time::timeout(self.timeout, self.make(origin, &mut lacking)).await;
        made.unwrap_or_else(|_| {
            let reason = format!("{lacking} within {} s", self.timeout.as_secs_f64());
            Err(Failure::new(AttemptOutcome::Timeout, reason))
        })
    }

    /// `lacking` tells what is being waited for.
    async fn make(&self, origin: &Origin, lacking: &mut &'static str) -> Result<Box<Connection>, Failure> {
        *lacking = "the name was not resolved";
        let tcp = match &self.proxy {
            None => {
                let addresses = self.addresses(origin).await?;
                *lacking = "no connection was made";
                connect_any(addresses).await.map_err(|error| self.no_connection(&error))?
            }
            Some(proxy) => {
                let targets = self.tunnel_ends(proxy, origin).await?;
                *lacking = "the egress proxy made no connection";
                proxy.tunnel(&targets).await?
            }
        };
        // Without it, a small write would wait for the acknowledgement of the one before.
        tcp.set_nodelay(true).map_err(|error| self.no_connection(&error))?;
        let stream = match &origin.tls_name {
            None => Either::Left(tcp),
            Some(name) => {
                *lacking = "no TLS session was made";
                let session = self.tls.connect(name.clone(), tcp).await;
                Either::Right(Box::new(session.map_err(|error| Failure::handshake(&error))?))
            }
        };
        let connection = Connection::new(stream).await.map_err(|error| Failure::broken(&error))?;
        Ok(Box::new(connection))
    }

    /// Where the origin can be reached: every address was allowed at this moment.
    async fn addresses(&self, origin: &Origin) -> Result<Vec<SocketAddr>, Failure> {
        let found = match &origin.host {
            Host::Name(name) => self.resolver.resolve(name).await.map_err(|error| self.no_address(&error))?,
            Host::Address(address) => vec![self.checked(*address)?],
        };
        Ok(found.into_iter().map(|address| SocketAddr::new(address, origin.port)).collect())
    }

    /// What a proxy is asked to connect to: addresses that were allowed, or the name where it resolves names itself.
    async fn tunnel_ends(&self, proxy: &Proxy, origin: &Origin) -> Result<Vec<String>, Failure> {
        match &origin.host {
            Host::Name(name) if proxy.resolves => Ok(vec![format!("{name}:{}", origin.port)]),
            _ => Ok(self.addresses(origin).await?.iter().map(ToString::to_string).collect()),
        }
    }

    /// A literal address never meets the resolver.
    fn checked(&self, address: IpAddr) -> Result<IpAddr, Failure> {
        let checked = self.policy.check_address(address);
        checked.map_err(|refused| Failure::new(AttemptOutcome::Blocked, refused.to_string()))?;
        Ok(address)
    }

    fn no_address(&self, error: &ResolveError) -> Failure {
        let outcome = match error {
            ResolveError::Blocked { name, refused } => {
                tracing::debug!(server.address = name, %refused, "a name was blocked");
                AttemptOutcome::Blocked
            }
            ResolveError::Failed { source: LookupError::Ours(what), .. } => return self.fault(what),
            _ => AttemptOutcome::DnsError,
        };
        Failure::new(outcome, error.to_string())
    }

    fn no_connection(&self, error: &io::Error) -> Failure {
        if is_of_this_machine(error) {
            return self.fault(&error.to_string());
        }
        Failure::new(AttemptOutcome::ConnectionError, format!("no connection: {error}"))
    }

    /// No fault of the endpoint: its tenant learns that much, the operator the rest.
    fn fault(&self, what: &str) -> Failure {
        if self.told.is_due() {
            tracing::error!("connections to endpoints cannot be made from this machine: {what}");
        }
        Failure::internal(
            "Trunkline could make no connection, whoever it were to; its operator finds why in the worker's log",
        )
    }
}

/// Connects to whichever address answers first, giving each a head start before the next.
pub(super) async fn connect_any(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut waiting = addresses.into_iter();
    let mut tried = FuturesUnordered::new();
    let mut refusal = None;
    loop {
        match waiting.next() {
            Some(address) => tried.push(TcpStream::connect(address)),
            None if tried.is_empty() => {
                return Err(refusal.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into()));
            }
            None => {}
        }
        let has_next = waiting.len() > 0;
        tokio::select! {
            Some(result) = tried.next() => match result {
                Ok(stream) => return Ok(stream),
                // Of an address that was tried it is known how it fares, whatever kept us from the others.
                Err(error) if refusal.is_some() && is_of_this_machine(&error) => {}
                Err(error) => refusal = Some(error),
            },
            () = tokio::time::sleep(NEXT_ADDRESS_AFTER), if has_next => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use trunkline_egress::system_lookup;

    use super::*;

    /// A URL with such an address is refused when an endpoint's settings are loaded; this holds if that is ever forgotten.
    #[tokio::test]
    async fn a_literal_address_is_checked_once_more_where_it_is_connected_to() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let origin = Origin { host: Host::Address(Ipv4Addr::LOCALHOST.into()), port, tls_name: None };
        let connector = Connector::new(
            &Settings::default(),
            RootCertStore::empty(),
            system_lookup(Duration::from_secs(5)),
        )
        .unwrap();
        let refused = connector.connect(&origin).await.err().unwrap();
        assert_eq!(refused.outcome, AttemptOutcome::Blocked, "{}", refused.reason);
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock, "nobody came");
    }
}
