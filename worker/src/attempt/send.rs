//! The call itself: connections kept and made, one deadline over everything, an answer read no further than needed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http::header::RETRY_AFTER;
use hyper::body::Incoming;
use rustls::RootCertStore;
use tokio::time::{Instant, timeout_at};
use trunkline_boot::Settings;
use trunkline_boot::settings::KeptHeaders;
use trunkline_domain::AttemptOutcome;
use trunkline_egress::{Lookup, system_lookup};
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

/// What a piece counts for at least: an answer in chunks of one byte costs as much work as one in chunks of this size.
const PIECE_BYTES_MIN: usize = 64;

/// How much of an answer is kept with the attempt.
const EXCERPT_BYTES_MAX: usize = 4 * 1024;

/// Calls endpoints. Cheap to clone; all clones share connections.
#[derive(Clone)]
pub(crate) struct Sender {
    connector: Arc<Connector>,
    idle: Arc<IdleConnections>,
    keep_headers: KeptHeaders,
}

/// The head of an answer and the beginning of its body.
pub(super) struct Received {
    pub(super) status: u16,
    pub(super) retry_after: Option<String>,
    pub(super) excerpt: Vec<u8>,
    /// Those that are kept, as they are stored.
    pub(super) headers: Option<Vec<u8>>,
}

/// The HTTP client could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot be set up: {0}")]
pub struct SenderError(#[from] rustls::Error);

impl Sender {
    /// A client that trusts whom the browsers trust. Called inside a runtime, where it closes idle connections.
    pub(crate) fn new(settings: &Settings) -> Result<Self, SenderError> {
        Self::asking(settings, system_lookup(settings.delivery.connect_timeout))
    }

    /// The same, but names mean what `lookup` says.
    pub(crate) fn asking(settings: &Settings, lookup: Lookup) -> Result<Self, SenderError> {
        Self::with(settings, webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect(), lookup)
    }

    /// A client that trusts certificates under these roots and no others.
    pub(crate) fn trusting(settings: &Settings, roots: RootCertStore) -> Result<Self, SenderError> {
        Self::with(settings, roots, system_lookup(settings.delivery.connect_timeout))
    }

    fn with(settings: &Settings, roots: RootCertStore, lookup: Lookup) -> Result<Self, SenderError> {
        let connector = Connector::new(settings, roots, lookup)?;
        let idle = IdleConnections::new(settings.worker.concurrency);
        Ok(Self { connector: Arc::new(connector), idle, keep_headers: settings.delivery.keep_headers })
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
        let deadline = Deadline { at: Instant::now() + callable.timeout, after: callable.timeout };
        self.call(&target.origin, call, deadline).await
    }

    async fn call(&self, origin: &Arc<Origin>, call: Call, deadline: Deadline) -> Result<Received, Failure> {
        let answered = timeout_at(deadline.at, self.head(origin, call)).await;
        let (mut connection, answer) = answered.unwrap_or_else(|_| {
            let reason = format!("no answer within {} s", deadline.after.as_secs_f64());
            Err(Failure::new(AttemptOutcome::Timeout, reason))
        })?;
        let (head, body) = answer.into_parts();
        let status = head.status.as_u16();
        let retry_after = head.headers.get(RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let is_kept = self.keep_headers == KeptHeaders::All || !head.status.is_success();
        let headers = is_kept.then(|| response_headers::to_lines(&head.headers));
        let mut excerpt = Vec::new();
        let ended = timeout_at(deadline.at, read_excerpt(&mut connection, body, &mut excerpt)).await;
        // A head that says no says all that matters, whatever becomes of its body; one that says yes may have been the
        // beginning of a page of error that broke off.
        match ended {
            Ok(Ok(())) if connection.is_usable().await => self.idle.keep(origin, connection),
            Ok(Err(error)) if head.status.is_success() => return Err(Failure::unfinished(status, &error)),
            Err(_) if head.status.is_success() => {
                let seconds = deadline.after.as_secs_f64();
                let reason = format!("the endpoint answered {status}, but not to the end within {seconds} s");
                return Err(Failure::new(AttemptOutcome::Timeout, reason));
            }
            _ => {}
        }
        Ok(Received { status, retry_after, excerpt, headers })
    }

    /// Makes the call on a connection, and reads the head of the answer.
    async fn head(
        &self,
        origin: &Arc<Origin>,
        mut call: Call,
    ) -> Result<(Box<Connection>, Response<Incoming>), Failure> {
        if let Some(mut connection) = self.idle.take(origin).await {
            match connection.send(call).await {
                // Closed by the endpoint just now, as it may close what is idle. Nothing was sent, so this is no second
                // attempt.
                Err(Broken::Unsent(unsent)) => call = *unsent,
                Err(Broken::Lost(error)) => return Err(Failure::broken(&error)),
                Ok(answer) => return Ok((connection, answer)),
            }
        }
        let mut connection = self.connector.connect(origin).await?;
        let answer = connection.send(call).await.map_err(|broken| match broken {
            Broken::Unsent(_) => {
                Failure::new(AttemptOutcome::ConnectionError, "the connection was closed before the call")
            }
            Broken::Lost(error) => Failure::broken(&error),
        })?;
        Ok((connection, answer))
    }
}

/// When an attempt ends, and how long after its beginning that is.
#[derive(Clone, Copy)]
struct Deadline {
    at: Instant,
    after: Duration,
}

/// Reads on to [`READ_BYTES_MAX`] and keeps the first [`EXCERPT_BYTES_MAX`].
async fn read_excerpt(
    connection: &mut Connection,
    mut body: Incoming,
    excerpt: &mut Vec<u8>,
) -> Result<(), hyper::Error> {
    let mut read = 0;
    while read < READ_BYTES_MAX {
        let Some(piece) = connection.next_piece(&mut body).await? else { break };
        read += piece.len().max(PIECE_BYTES_MIN);
        let wanted = piece.len().min(EXCERPT_BYTES_MAX - excerpt.len());
        excerpt.extend_from_slice(&piece[..wanted]);
    }
    Ok(())
}
