//! A forward proxy between the worker and all endpoints, which makes tunnels (CONNECT; RFC 9110, section 9.3.6).
//!
//! Tunnels for http too: in a request that the proxy forwards, the address that was checked would have to stand where the
//! endpoint's name belongs, and the endpoint's own headers would pass through the proxy's hands.

use std::io;
use std::net::{IpAddr, SocketAddr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use trunkline_boot::settings::EgressSettings;
use trunkline_domain::AttemptOutcome;
use trunkline_egress::Lookup;

use super::Failure;
use super::connect::connect_any;
use super::told::Told;

/// The longest head of a proxy's answer, and the most headers in it.
const HEAD_BYTES_MAX: usize = 8 * 1024;
const HEADERS_MAX: usize = 64;

/// The proxy of `egress.proxy`.
pub(super) struct Proxy {
    host: String,
    port: u16,
    lookup: Lookup,
    /// The value of `proxy-authorization`.
    authorization: Option<SecretString>,
    /// Whether it is given names, and guards what they resolve to.
    pub(super) resolves: bool,
    told: Told,
}

/// Why there is no tunnel.
enum NoTunnel {
    /// The proxy could not reach that end; it may reach another.
    Unreachable(u16),
    /// The proxy will not connect to that end.
    Forbidden(u16),
    /// It answers something else, which is between it and us.
    Unwilling(u16),
    /// There is no proxy, or it is none.
    Broken(io::Error),
}

impl Proxy {
    pub(super) fn new(settings: &EgressSettings, lookup: Lookup) -> Option<Self> {
        let proxy = settings.proxy.as_ref()?;
        let authorization = proxy.credentials.as_ref();
        Some(Self {
            host: proxy.host.clone(),
            port: proxy.port,
            lookup,
            authorization: authorization
                .map(|pair| SecretString::from(format!("Basic {}", STANDARD.encode(pair.expose_secret())))),
            resolves: settings.proxy_resolves,
            told: Told::default(),
        })
    }

    /// A tunnel to the first of `ends` (`host:port`, at least one) that the proxy reaches.
    pub(super) async fn tunnel(&self, ends: &[String]) -> Result<TcpStream, Failure> {
        let mut status = 0;
        for end in ends {
            match self.tunnel_to(end).await {
                Ok(stream) => return Ok(stream),
                Err(NoTunnel::Unreachable(answered)) => status = answered,
                Err(NoTunnel::Forbidden(answered)) => {
                    let reason = format!("the egress proxy forbids this address (it answered {answered})");
                    return Err(Failure::new(AttemptOutcome::Blocked, reason));
                }
                Err(NoTunnel::Unwilling(answered)) => {
                    return Err(self.fault(&format!("it answered {answered} to CONNECT")));
                }
                Err(NoTunnel::Broken(error)) => return Err(self.fault(&error.to_string())),
            }
        }
        let reason = format!("no connection: the egress proxy reaches no address (it answered {status})");
        Err(Failure::new(AttemptOutcome::ConnectionError, reason))
    }

    async fn tunnel_to(&self, end: &str) -> Result<TcpStream, NoTunnel> {
        let mut stream = self.connect().await.map_err(NoTunnel::Broken)?;
        let mut call = format!("CONNECT {end} HTTP/1.1\r\nhost: {end}\r\n");
        if let Some(authorization) = &self.authorization {
            call.push_str("proxy-authorization: ");
            call.push_str(authorization.expose_secret());
            call.push_str("\r\n");
        }
        call.push_str("\r\n");
        stream.write_all(call.as_bytes()).await.map_err(NoTunnel::Broken)?;
        match read_status(&mut stream).await.map_err(NoTunnel::Broken)? {
            200..=299 => Ok(stream),
            status @ 403 => Err(NoTunnel::Forbidden(status)),
            status @ (502..=504) => Err(NoTunnel::Unreachable(status)),
            status => Err(NoTunnel::Unwilling(status)),
        }
    }

    /// The proxy is the operator's choice and lies where it likes: the guard is for what lies behind it.
    async fn connect(&self) -> io::Result<TcpStream> {
        let addresses = match self.host.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => (self.lookup)(self.host.clone()).await.map_err(io::Error::other)?,
        };
        connect_any(addresses.into_iter().map(|address| SocketAddr::new(address, self.port)).collect()).await
    }

    /// No fault of the endpoint: its tenant learns that much, the operator the rest.
    fn fault(&self, what: &str) -> Failure {
        if self.told.is_due() {
            tracing::error!(
                proxy.host = self.host,
                proxy.port = self.port,
                "the egress proxy makes no connections: {what}; see egress.proxy"
            );
        }
        Failure::internal(
            "the egress proxy makes no connections; Trunkline's operator finds why in the worker's log",
        )
    }
}

/// Reads the answer to CONNECT, and nothing of what may follow.
async fn read_status(stream: &mut TcpStream) -> io::Result<u16> {
    let mut read = Vec::with_capacity(512);
    loop {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut answer = httparse::Response::new(&mut headers);
        let parsed = answer.parse(&read).map_err(|_| invalid("its answer is not HTTP"))?;
        if let httparse::Status::Complete(head_bytes) = parsed {
            let status = answer.code.unwrap_or_default();
            // Behind the tunnel nobody speaks before we do: these bytes are not the endpoint's.
            if (200..300).contains(&status) && read.len() > head_bytes {
                return Err(invalid("it says more than its answer"));
            }
            return Ok(status);
        }
        if read.len() >= HEAD_BYTES_MAX {
            return Err(invalid("its answer is too long"));
        }
        if stream.read_buf(&mut read).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
