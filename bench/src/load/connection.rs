//! One kept-alive connection: one request out, one answer back.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;

use anyhow::{Context, bail, ensure};
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

/// An answer of the API is a few hundred bytes; a batch's is longer and lets this grow.
const INBOX_BYTES: usize = 8 * 1024;

/// Headers of an answer; the API sends fewer than ten.
const HEADERS_MAX: usize = 32;

pub(super) struct Connection {
    stream: TcpStream,
    inbox: Vec<u8>,
    filled: usize,
    /// What the socket did not take at once.
    outbox: Vec<u8>,
    /// When the request under way was to be sent.
    pub(super) due_ns: u64,
}

/// An answer that is complete.
pub(super) struct Answer<'a> {
    pub(super) status: u16,
    pub(super) body: &'a [u8],
}

impl Connection {
    /// Connects, which on loopback is done at once.
    pub(super) fn open(target: SocketAddr, registry: &Registry, token: Token) -> anyhow::Result<Self> {
        let stream =
            std::net::TcpStream::connect(target).with_context(|| format!("connecting to {target}"))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self { stream, inbox: vec![0; INBOX_BYTES], filled: 0, outbox: Vec::new(), due_ns: 0 })
    }

    /// Sends a request; what the socket does not take now goes with [`flush`](Self::flush).
    pub(super) fn send(&mut self, request: &[u8]) -> anyhow::Result<()> {
        let taken = write(&mut self.stream, request)?;
        self.outbox.extend_from_slice(&request[taken..]);
        Ok(())
    }

    /// Sends what was left.
    pub(super) fn flush(&mut self) -> anyhow::Result<()> {
        if !self.outbox.is_empty() {
            let taken = write(&mut self.stream, &self.outbox)?;
            self.outbox.drain(..taken);
        }
        Ok(())
    }

    /// Reads what is there; the answer, once it is complete.
    pub(super) fn receive(&mut self) -> anyhow::Result<Option<Answer<'_>>> {
        loop {
            if self.filled == self.inbox.len() {
                self.inbox.resize(self.inbox.len() * 2, 0);
            }
            match self.stream.read(&mut self.inbox[self.filled..]) {
                Ok(0) => bail!("the server closed a connection"),
                Ok(read) => self.filled += read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).context("reading an answer"),
            }
            // Less than there was room for: the socket is empty, and `epoll` tells when it no longer is.
            if self.filled < self.inbox.len() {
                break;
            }
        }
        let Some((status, start, end)) = parse(&self.inbox[..self.filled])? else {
            return Ok(None);
        };
        ensure!(self.filled == end, "more than one answer to one request");
        self.filled = 0;
        Ok(Some(Answer { status, body: &self.inbox[start..end] }))
    }
}

fn write(stream: &mut TcpStream, mut bytes: &[u8]) -> anyhow::Result<usize> {
    let wanted = bytes.len();
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error).context("sending a request"),
        }
    }
    Ok(wanted - bytes.len())
}

/// Status, start and end of the body of a complete answer.
fn parse(bytes: &[u8]) -> anyhow::Result<Option<(u16, usize, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut answer = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = answer.parse(bytes).context("an answer that is not HTTP")? else {
        return Ok(None);
    };
    let status = answer.code.context("an answer without a status")?;
    let length = answer.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = length.context("an answer without content-length")?;
    let length: usize = str::from_utf8(length.value)?.parse()?;
    Ok((bytes.len() >= head + length).then_some((status, head, head + length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_complete_with_its_last_byte() {
        let whole = b"HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\nhello";
        assert_eq!(parse(whole).unwrap(), Some((201, whole.len() - 5, whole.len())));
        for cut in [0, 10, whole.len() - 6, whole.len() - 1] {
            assert_eq!(parse(&whole[..cut]).unwrap(), None);
        }
        assert!(parse(b"HTTP/1.1 200 OK\r\n\r\n").is_err(), "its end could not be known");
    }
}
