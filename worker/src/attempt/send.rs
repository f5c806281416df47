//! The call itself: connections kept and made, one deadline over everything, an answer read no further than needed.

use std::sync::Arc;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use hyper::body::Incoming;
use rustls::RootCertStore;
use trunkline_boot::Settings;
use trunkline_domain::AttemptOutcome;
use trunkline_egress::EgressPolicy;
use trunkline_store::deliveries::Claimed;

use super::connect::Connector;
use super::connection::{Broken, Call, Connection};
use super::idle::IdleConnections;
use super::target::Origin;
use super::{Failure, request, response_headers};
use crate::roster::Callable;

/// How much of an answer is read before the connection is given up. More than any sensible answer; enough of a small
/// one to keep its connection for the next call.
const READ_BYTES_MAX: usize = 64 * 1024;

/// How much of an answer is kept with the attempt.
const EXCERPT_BYTES_MAX: usize = 4 * 1024;

/// Calls endpoints. Cheap to clone; all clones share connections.
#[derive(Clone)]
pub(crate) struct Sender {
    connector: Arc<Connector>,
    idle: Arc<IdleConnections>,
}

/// The head of an answer and the beginning of its body.
pub(super) struct Received {
    pub(super) status: u16,
    pub(super) retry_after: Option<String>,
    pub(super) excerpt: Vec<u8>,
    /// Those of a failure, as they are stored.
    pub(super) headers: Option<Vec<u8>>,
}

/// The HTTP client could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot be set up: {0}")]
pub struct SenderError(#[from] rustls::Error);

impl Sender {
    /// A client that trusts whom the browsers trust. Called inside a runtime, where it closes idle connections.
    pub(crate) fn new(settings: &Settings) -> Result<Self, SenderError> {
        Self::trusting(settings, webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect())
    }

    /// A client that trusts certificates under these roots and no others.
    pub(crate) fn trusting(settings: &Settings, roots: RootCertStore) -> Result<Self, SenderError> {
        let policy = Arc::new(EgressPolicy::new(settings.egress.allow.clone()));
        let connector = Connector::new(policy, roots, settings.delivery.connect_timeout)?;
        let idle = IdleConnections::new(settings.worker.concurrency);
        Ok(Self { connector: Arc::new(connector), idle })
    }

    /// Sends a delivery and reads the answer, all within the endpoint's time-out.
    pub(super) async fn send(
        &self,
        claimed: &Claimed,
        callable: &Callable,
        payload: Bytes,
    ) -> Result<Received, Failure> {
        let target = callable
            .target
            .as_ref()
            .map_err(|refused| Failure::new(AttemptOutcome::Blocked, refused.to_string()))?;
        let timestamp = trunkline_boot::clock::signing_now();
        let call = request::make(claimed, target, payload, callable, timestamp)?;
        tokio::time::timeout(callable.timeout, self.call(&target.origin, call)).await.unwrap_or_else(|_| {
            let seconds = callable.timeout.as_secs_f64();
            Err(Failure::new(AttemptOutcome::Timeout, format!("no complete answer within {seconds} s")))
        })
    }

    async fn call(&self, origin: &Arc<Origin>, mut call: Call) -> Result<Received, Failure> {
        if let Some(connection) = self.idle.take(origin).await {
            match self.call_on(connection, origin, call).await {
                // Closed by the endpoint just now, as it may close what is idle. Nothing was sent, so this is no second
                // attempt.
                Err(Broken::Unsent(unsent)) => call = *unsent,
                Err(Broken::Lost(error)) => return Err(Failure::broken(&error)),
                Ok(received) => return Ok(received),
            }
        }
        let connection = self.connector.connect(origin).await?;
        self.call_on(connection, origin, call).await.map_err(|broken| match broken {
            Broken::Unsent(_) => {
                Failure::new(AttemptOutcome::ConnectionError, "the connection was closed before the call")
            }
            Broken::Lost(error) => Failure::broken(&error),
        })
    }

    async fn call_on(
        &self,
        mut connection: Box<Connection>,
        origin: &Arc<Origin>,
        call: Call,
    ) -> Result<Received, Broken> {
        let (head, body) = connection.send(call).await?.into_parts();
        let status = head.status.as_u16();
        let retry_after = head.headers.get(RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let headers = (!head.status.is_success()).then(|| response_headers::to_lines(&head.headers));
        let excerpt = read_excerpt(&mut connection, body).await.map_err(Broken::Lost)?;
        if connection.is_usable().await {
            self.idle.keep(origin, connection);
        }
        Ok(Received { status, retry_after, excerpt, headers })
    }
}

/// Reads on to [`READ_BYTES_MAX`] and keeps the first [`EXCERPT_BYTES_MAX`].
async fn read_excerpt(connection: &mut Connection, mut body: Incoming) -> Result<Vec<u8>, hyper::Error> {
    let mut excerpt = Vec::new();
    let mut read = 0;
    while read < READ_BYTES_MAX {
        let Some(piece) = connection.next_piece(&mut body).await? else { break };
        read += piece.len();
        let wanted = piece.len().min(EXCERPT_BYTES_MAX - excerpt.len());
        excerpt.extend_from_slice(&piece[..wanted]);
    }
    Ok(excerpt)
}
