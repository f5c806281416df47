//! The sink's loop: one thread, one `epoll`.

use std::collections::HashMap;
use std::io::{ErrorKind, Write};
use std::net::{Ipv4Addr, SocketAddr};

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};
use trunkline_boot::Clock;
use trunkline_signing::Secret;

use super::connection::Connection;
use super::request::{Head, Meaning, is_signed};
use super::{SECRET, Seen, control};
use crate::clock::monotonic_ns;
use crate::ledger::Entry;

const EVENTS_MAX: usize = 256;
const LISTENER: Token = Token(usize::MAX);
const ACCEPTED: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// What the sink remembers.
pub(super) struct Ledger {
    pub(super) seen: Seen,
    pub(super) entries: Vec<Entry>,
    pub(super) verify_every: u64,
    /// Of endpoints that have one of their own.
    pub(super) secrets: HashMap<u32, Secret>,
    secret: Secret,
    clock: Clock,
}

/// Says its port on standard output and serves until it is stopped.
pub(crate) fn run() -> anyhow::Result<()> {
    let mut listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?.port())?;
    let mut ledger = Ledger {
        seen: Seen::default(),
        entries: Vec::new(),
        verify_every: 0,
        secrets: HashMap::new(),
        secret: Secret::from_stored(SECRET)?,
        clock: Clock::new(),
    };
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(EVENTS_MAX);
    let mut connections = HashMap::new();
    let mut next = 0;
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    stream.set_nodelay(true)?;
                    poll.registry().register(&mut stream, Token(next), Interest::READABLE)?;
                    connections.insert(next, Connection::new(stream));
                    next += 1;
                }
                continue;
            }
            let number = event.token().0;
            let Some(connection) = connections.get_mut(&number) else { continue };
            if !connection.serve(|head, text, body| ledger.receive(head, text, body)) {
                poll.registry().deregister(connection.stream())?;
                connections.remove(&number);
            }
        }
    }
}

impl Ledger {
    fn receive(&mut self, head: &Head, text: &[u8], body: &[u8]) -> Vec<u8> {
        let at_ns = monotonic_ns();
        match &head.meaning {
            Meaning::Delivery { event, endpoint } => {
                self.entries.push(Entry { event: *event, endpoint: *endpoint, at_ns });
                self.seen.arrived += 1;
                if self.verify_every > 0 && self.seen.arrived.is_multiple_of(self.verify_every) {
                    self.seen.verified += 1;
                    let now_unix = self.clock.now().timestamp();
                    let secret = self.secrets.get(endpoint).unwrap_or(&self.secret);
                    self.seen.badly_signed += u64::from(!is_signed(text, body, secret, now_unix));
                }
                ACCEPTED.to_vec()
            }
            Meaning::Control(question) => match control::answer(question, body, self) {
                Ok(body) => {
                    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
                }
                Err(error) => {
                    let body = format!("{error:#}");
                    format!("HTTP/1.1 400 Bad Request\r\ncontent-length: {}\r\n\r\n{body}", body.len())
                        .into_bytes()
                }
            },
        }
    }
}
