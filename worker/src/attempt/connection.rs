//! One HTTP/1.1 connection, driven by whoever uses it.
//!
//! hyper means a connection to be a task of its own, which costs two switches of task, often of thread, for each call.
//! Here the call polls its connection itself; an idle connection is polled by nobody, and looked at when it is needed
//! again.

use std::pin::pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::connect::Stream;
use super::wire::{Allowance, Wire};

/// How much of an answer is buffered at one time, and the most that its head may have. hyper allows 100 headers in it.
const BUFFER_BYTES_MAX: usize = 64 * 1024;

/// What is sent: a head, and the payload's bytes where they lie.
pub(super) type Call = Request<Full<Bytes>>;

/// A connection, and its half of the protocol.
pub(super) struct Connection {
    calls: http1::SendRequest<Full<Bytes>>,
    /// `None` when it has come to its end.
    protocol: Option<http1::Connection<TokioIo<Wire>, Full<Bytes>>>,
    allowance: Allowance,
}

/// Why a call brought no answer.
#[derive(Debug)]
pub(super) enum Broken {
    /// The connection was at its end before anything of the call was sent: it can be made on another.
    Unsent(Box<Call>),
    /// The endpoint may have seen the call.
    Lost(hyper::Error),
}

impl Connection {
    pub(super) async fn new(stream: Stream) -> Result<Self, hyper::Error> {
        let (wire, allowance) = Wire::new(stream);
        let (calls, protocol) =
            http1::Builder::new().max_buf_size(BUFFER_BYTES_MAX).handshake(TokioIo::new(wire)).await?;
        Ok(Self { calls, protocol: Some(protocol), allowance })
    }

    /// Sends a call and reads the head of its answer.
    pub(super) async fn send(&mut self, call: Call) -> Result<Response<Incoming>, Broken> {
        self.allowance.renew();
        let answer = self.calls.try_send_request(call);
        let answer = self.drive(answer).await.map_err(|mut error| match error.take_message() {
            Some(call) => Broken::Unsent(Box::new(call)),
            None => Broken::Lost(error.into_error()),
        })?;
        self.allowance.lift();
        Ok(answer)
    }

    /// The next piece of an answer's body; `None` at its end.
    pub(super) async fn next_piece(&mut self, body: &mut Incoming) -> Result<Option<Bytes>, hyper::Error> {
        while let Some(frame) = self.drive(body.frame()).await {
            if let Ok(piece) = frame?.into_data() {
                return Ok(Some(piece));
            }
            // Trailers say nothing that is kept.
        }
        Ok(None)
    }

    /// Whether another call can be sent. Notices here what happened since the last.
    pub(super) async fn is_usable(&mut self) -> bool {
        std::future::poll_fn(|context| {
            self.poll_protocol(context);
            Poll::Ready(self.calls.is_ready())
        })
        .await
    }

    /// Waits for a part of a call while moving bytes for it.
    async fn drive<F: Future>(&mut self, part: F) -> F::Output {
        let mut part = pin!(part);
        std::future::poll_fn(|context| {
            self.poll_protocol(context);
            part.as_mut().poll(context)
        })
        .await
    }

    /// How the connection ends is told to the call that it ends for, so the result here says nothing more.
    fn poll_protocol(&mut self, context: &mut Context<'_>) {
        let protocol = self.protocol.as_mut();
        if protocol.is_some_and(|protocol| protocol.poll_without_shutdown(context).is_ready()) {
            // Dropped at once, so that a call that still waits for it learns of the end.
            self.protocol = None;
        }
    }
}
