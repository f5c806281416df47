//! A connection to the sink and what was read from it.

use std::io::{ErrorKind, Read, Write};

use mio::net::TcpStream;

use super::request::{self, Head};

/// Enough for a delivery of 1 KiB many times over; larger ones let it grow.
const INBOX_BYTES: usize = 16 * 1024;

pub(super) struct Connection {
    stream: TcpStream,
    inbox: Vec<u8>,
    filled: usize,
    /// Of the request being read, so that a long body does not have it read again and again.
    head: Option<Head>,
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, inbox: vec![0; INBOX_BYTES], filled: 0, head: None }
    }

    /// Reads what is there and hands every complete request (head, its bytes, its body) on; writes what is answered.
    /// False when the connection is over, or sends what is no request.
    pub(super) fn serve(&mut self, mut answer: impl FnMut(&Head, &[u8], &[u8]) -> Vec<u8>) -> bool {
        loop {
            if self.filled == self.inbox.len() {
                self.inbox.resize(self.inbox.len() * 2, 0);
            }
            match self.stream.read(&mut self.inbox[self.filled..]) {
                Ok(0) => return false,
                Ok(read) => self.filled += read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return false,
            }
            let is_empty = self.filled < self.inbox.len();
            if !self.answer_all(&mut answer) {
                return false;
            }
            // Less than there was room for: the socket is empty, and `epoll` tells when it no longer is.
            if is_empty {
                return true;
            }
        }
    }

    fn answer_all(&mut self, answer: &mut impl FnMut(&Head, &[u8], &[u8]) -> Vec<u8>) -> bool {
        let mut start = 0;
        while start < self.filled {
            let rest = &self.inbox[start..self.filled];
            let head = match self.head.take().map_or_else(|| request::read(rest), |head| Ok(Some(head))) {
                Ok(Some(head)) => head,
                Ok(None) => break,
                Err(_) => return false,
            };
            let end = head.head_bytes + head.body_bytes;
            if rest.len() < end {
                self.head = Some(head);
                break;
            }
            let text = answer(&head, &rest[..head.head_bytes], &rest[head.head_bytes..end]);
            // A few hundred bytes fit into a socket that its peer has read empty before.
            if self.stream.write_all(&text).is_err() {
                return false;
            }
            start += end;
        }
        self.inbox.copy_within(start..self.filled, 0);
        self.filled -= start;
        true
    }

    pub(super) fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }
}
