//! The loop: send what is due on free connections, read what is answered, count.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Context, bail};
use mio::{Events, Poll, Token};

use super::connection::Connection;
use super::pace::{Schedule, wait};
use super::requests::{self, Request};
use super::{Order, Tally};
use crate::clock::monotonic_ns;
use crate::ledger::{self, Entry};
use crate::percentiles::Percentiles;

/// Events read from `epoll` at a time.
const EVENTS_MAX: usize = 256;

/// How long no answer at all may come while some are awaited: the API says 503 after a second.
const SILENCE: Duration = Duration::from_secs(10);

/// Sends everything and waits for the answers.
pub(super) fn send(order: &Order) -> anyhow::Result<Tally> {
    let mut requests = requests::prepare(order);
    let mut poll = Poll::new()?;
    let mut connections = Vec::with_capacity(order.connections);
    for (number, target) in (0..order.connections).zip(order.targets.iter().cycle()) {
        connections.push(Connection::open(*target, poll.registry(), Token(number))?);
    }
    let mut free: VecDeque<usize> = (0..connections.len()).collect();
    let mut events = Events::with_capacity(EVENTS_MAX);
    let schedule = Schedule::new(order, monotonic_ns());
    let mut count = Count::new(&schedule, order.ledger.is_some());
    loop {
        let next_ns = send_due(&schedule, &mut requests, &mut connections, &mut free, &mut count)?;
        if next_ns.is_none() && free.len() == connections.len() {
            break;
        }
        // Without a free connection only an answer changes anything.
        let next = next_ns.filter(|_| !free.is_empty());
        let timeout = next.map_or(SILENCE, |due| wait(due, monotonic_ns()));
        match poll.poll(&mut events, Some(timeout)) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            other => other.context("waiting for answers")?,
        }
        if events.is_empty() && next.is_none() {
            bail!("no answer came for {SILENCE:?}");
        }
        for event in &events {
            let number = event.token().0;
            let connection = &mut connections[number];
            if event.is_writable() {
                connection.flush()?;
            }
            let due_ns = connection.due_ns;
            if let Some(answer) = connection.receive()? {
                count.answered(answer.status, answer.body, due_ns)?;
                free.push_back(number);
            }
        }
    }
    if let Some(file) = &order.ledger {
        ledger::write(file, &count.entries)?;
    }
    Ok(count.tally(&schedule))
}

/// Returns when the next one is due; `None` if none ever is.
fn send_due(
    schedule: &Schedule,
    requests: &mut [Request],
    connections: &mut [Connection],
    free: &mut VecDeque<usize>,
    count: &mut Count,
) -> anyhow::Result<Option<u64>> {
    loop {
        let now_ns = monotonic_ns();
        let Some(due_ns) = schedule.due_ns(count.sent, now_ns) else { return Ok(None) };
        if due_ns > now_ns || free.is_empty() {
            return Ok(Some(due_ns));
        }
        let Some(number) = free.pop_front() else { return Ok(Some(due_ns)) };
        let turn = (count.sent % requests.len() as u64) as usize;
        connections[number].due_ns = due_ns;
        connections[number].send(requests[turn].numbered(count.sent))?;
        count.sent += 1;
    }
}

struct Count {
    from_ns: u64,
    until_ns: u64,
    keeps_entries: bool,
    sent: u64,
    accepted: u64,
    refused: u64,
    last_ns: u64,
    answers_us: Vec<u32>,
    entries: Vec<Entry>,
}

impl Count {
    fn new(schedule: &Schedule, keeps_entries: bool) -> Self {
        Self {
            from_ns: schedule.counts_from_ns(),
            until_ns: schedule.counts_until_ns().unwrap_or(u64::MAX),
            keeps_entries,
            sent: 0,
            accepted: 0,
            refused: 0,
            last_ns: schedule.counts_from_ns(),
            answers_us: Vec::new(),
            entries: Vec::new(),
        }
    }

    fn answered(&mut self, status: u16, body: &[u8], due_ns: u64) -> anyhow::Result<()> {
        let now_ns = monotonic_ns();
        let is_counted = (self.from_ns..self.until_ns).contains(&now_ns);
        match status {
            200..=299 => {
                if self.keeps_entries {
                    let entry = |event| Entry { event, endpoint: 0, at_ns: now_ns };
                    self.entries.extend(ledger::event_ids(body).map(entry));
                }
                if is_counted {
                    self.accepted += 1;
                    self.last_ns = now_ns;
                    let waited_us = now_ns.saturating_sub(due_ns) / 1_000;
                    self.answers_us.push(u32::try_from(waited_us).unwrap_or(u32::MAX));
                }
            }
            429 | 503 => self.refused += u64::from(is_counted),
            _ => bail!("answered {status}: {}", String::from_utf8_lossy(body)),
        }
        Ok(())
    }

    fn tally(self, schedule: &Schedule) -> Tally {
        Tally {
            sent: self.sent,
            accepted: self.accepted,
            refused: self.refused,
            from_ns: self.from_ns,
            until_ns: schedule.counts_until_ns().unwrap_or(self.last_ns),
            answer: Percentiles::of_microseconds(self.answers_us),
            cpu_seconds: 0.0,
        }
    }
}
