//! The bytes of a connection, as HTTP sees them: no more of them than an answer may need, and read on where writing has
//! failed.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connect::Stream;

/// How much may come before the head of an answer is complete: four times the longest head. Informational answers (1xx) have
/// no bound of their own, and a flood of them would keep a core busy until the deadline.
const BEFORE_ANSWER_BYTES_MAX: usize = 256 * 1024;

/// A stream with the two rules.
pub(super) struct Wire {
    stream: Stream,
    allowance: Allowance,
    is_write_lost: bool,
}

/// What may still come.
#[derive(Clone)]
pub(super) struct Allowance(Arc<AtomicUsize>);

impl Wire {
    pub(super) fn new(stream: Stream) -> (Self, Allowance) {
        let allowance = Allowance(Arc::new(AtomicUsize::new(BEFORE_ANSWER_BYTES_MAX)));
        (Self { stream, allowance: allowance.clone(), is_write_lost: false }, allowance)
    }

    /// An endpoint may answer before it has read everything, and close: a 413, say. That ends the writing, but what it said
    /// lies there to be read; so the rest of the call goes nowhere, and reading tells how it ends.
    fn wrote(&mut self, result: io::Result<usize>, given: usize) -> io::Result<usize> {
        match result {
            Err(error) if is_hung_up(&error) => {
                self.is_write_lost = true;
                Ok(given)
            }
            result => result,
        }
    }
}

impl Allowance {
    /// A call begins: its answer's head is to come.
    pub(super) fn renew(&self) {
        self.0.store(BEFORE_ANSWER_BYTES_MAX, Ordering::Relaxed);
    }

    /// The head is there; whoever reads the body counts it.
    pub(super) fn lift(&self) {
        self.0.store(usize::MAX, Ordering::Relaxed);
    }

    fn spend(&self, bytes: usize) -> io::Result<()> {
        // One task reads; another value can only have been set by it.
        let left = self.0.load(Ordering::Relaxed);
        if left == usize::MAX {
            return Ok(());
        }
        let left = left.checked_sub(bytes).ok_or_else(|| {
            io::Error::other(format!("{} KiB came, and no answer", BEFORE_ANSWER_BYTES_MAX / 1024))
        })?;
        self.0.store(left, Ordering::Relaxed);
        Ok(())
    }
}

fn is_hung_up(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted)
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        Poll::Ready(self.allowance.spend(buffer.filled().len() - before))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_write_lost {
            return Poll::Ready(Ok(bytes.len()));
        }
        let result = ready!(Pin::new(&mut self.stream).poll_write(context, bytes));
        Poll::Ready(self.wrote(result, bytes.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let given = pieces.iter().map(|piece| piece.len()).sum();
        if self.is_write_lost {
            return Poll::Ready(Ok(given));
        }
        let result = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, pieces));
        Poll::Ready(self.wrote(result, given))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_write_lost {
            return Poll::Ready(Ok(()));
        }
        let result = ready!(Pin::new(&mut self.stream).poll_flush(context));
        Poll::Ready(self.wrote(result.map(|()| 0), 0).map(|_| ()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R9: whatever comes before an answer ends the attempt at 256 KiB, and each call has these anew.
    #[test]
    fn before_an_answer_256_kib_may_come_and_no_byte_more() {
        const PROMISED: usize = 256 * 1_024;
        let allowance = Allowance(Arc::new(AtomicUsize::new(0)));
        for _ in 0..2 {
            allowance.renew();
            allowance.spend(1).unwrap();
            allowance.spend(PROMISED - 1).unwrap();
            assert!(allowance.spend(1).is_err());
        }
        allowance.lift();
        allowance.spend(10 * PROMISED).unwrap();
    }
}
