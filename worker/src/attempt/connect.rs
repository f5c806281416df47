//! From an origin to a connection: names, addresses, TCP, TLS. Only addresses that were checked are connected to.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;
use trunkline_domain::AttemptOutcome;
use trunkline_egress::{EgressPolicy, GuardedResolver, ResolveError};

use super::Failure;
use super::connection::Connection;
use super::target::{Host, Origin};

/// Bytes to and from an endpoint.
pub(super) type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// How long one address of several is waited for before the next is tried beside it (RFC 8305, section 5).
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);

/// Makes connections.
pub(super) struct Connector {
    policy: Arc<EgressPolicy>,
    resolver: GuardedResolver,
    tls: TlsConnector,
    timeout: Duration,
}

impl Connector {
    /// `timeout` is for all of look-up, TCP and TLS.
    pub(super) fn new(
        policy: Arc<EgressPolicy>,
        roots: RootCertStore,
        timeout: Duration,
    ) -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let resolver = GuardedResolver::new(policy.clone());
        Ok(Self { policy, resolver, tls: TlsConnector::from(Arc::new(config)), timeout })
    }

    pub(super) async fn connect(&self, origin: &Origin) -> Result<Box<Connection>, Failure> {
        let connection = tokio::time::timeout(self.timeout, async {
            let tcp = connect_any(self.addresses(origin).await?).await.map_err(no_connection)?;
            // Without it, a small write would wait for the acknowledgement of the one before.
            tcp.set_nodelay(true).map_err(no_connection)?;
            let stream = match &origin.tls_name {
                None => Either::Left(tcp),
                Some(name) => {
                    let session = self.tls.connect(name.clone(), tcp).await;
                    Either::Right(Box::new(session.map_err(no_connection)?))
                }
            };
            Connection::new(stream).await.map_err(|error| Failure::broken(&error))
        });
        let connection = connection
            .await
            .unwrap_or_else(|_| Err(Failure::new(AttemptOutcome::Timeout, "no connection in time")));
        connection.map(Box::new)
    }

    /// Where the origin can be reached: every address was allowed at this moment.
    async fn addresses(&self, origin: &Origin) -> Result<Vec<SocketAddr>, Failure> {
        let found = match &origin.host {
            Host::Name(name) => self.resolver.resolve(name).await.map_err(|error| no_address(&error))?,
            Host::Address(address) => {
                let checked = self.policy.check_address(*address);
                checked.map_err(|refused| Failure::new(AttemptOutcome::Blocked, refused.to_string()))?;
                vec![SocketAddr::new(*address, 0)]
            }
        };
        Ok(found.into_iter().map(|address| SocketAddr::new(address.ip(), origin.port)).collect())
    }
}

/// Connects to whichever address answers first, giving each a head start before the next.
async fn connect_any(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
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
                Err(error) => refusal = Some(error),
            },
            () = tokio::time::sleep(NEXT_ADDRESS_AFTER), if has_next => {}
        }
    }
}

fn no_address(error: &ResolveError) -> Failure {
    let outcome = match error {
        ResolveError::Blocked(_) => AttemptOutcome::Blocked,
        _ => AttemptOutcome::DnsError,
    };
    Failure::new(outcome, error.to_string())
}

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err hands over")]
fn no_connection(error: io::Error) -> Failure {
    Failure::tls(&error)
        .unwrap_or_else(|| Failure::new(AttemptOutcome::ConnectionError, format!("no connection: {error}")))
}
