//! A tenant's publisher as one should be: keeps a ledger, repeats with its Idempotency-Key what got no answer, and goes
//! to another replica when one does not answer.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::task::JoinSet;

use crate::http_client::{Client, Reply};
use crate::ledger::Ledger;
use crate::rotation::Rotation;

/// Between two tries of one event: as a patient client would.
const RETRY_WAIT: Duration = Duration::from_millis(100);

/// How long a publisher goes on with an event after it was told to stop: what has a key must end acknowledged.
const LAST_TRIES: Duration = Duration::from_secs(60);

/// How to publish.
#[derive(Clone)]
pub(crate) struct Load {
    /// Events a second, all publishers together; 0 = as fast as they are answered.
    pub(crate) rate: u32,
    /// Requests under way at one time.
    pub(crate) publishers: u32,
    /// Of three events, how many carry an Idempotency-Key; the others are given up at the first missing answer.
    pub(crate) keyed_of_three: u64,
    /// Bytes of filling in each payload.
    pub(crate) padding: usize,
    /// No more events than this.
    pub(crate) events_max: u64,
    /// Each publisher has an ordering key of its own ([`Load::stream_of`]), and goes on when its last event is acknowledged.
    pub(crate) is_ordered: bool,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            rate: 250,
            publishers: 16,
            keyed_of_three: 2,
            padding: 200,
            events_max: u64::MAX,
            is_ordered: false,
        }
    }
}

impl Load {
    /// Which publisher publishes that number, where order counts.
    pub(crate) fn stream_of(&self, number: u64) -> u64 {
        number % u64::from(self.publishers)
    }
}

/// Publishes until it is stopped.
pub(crate) struct Publisher {
    shared: Arc<Shared>,
    tasks: JoinSet<anyhow::Result<()>>,
}

struct Shared {
    client: Client,
    rotation: Rotation,
    api_key: String,
    ledger: Ledger,
    load: Load,
    next_number: AtomicU64,
    stopping: AtomicBool,
    figures: Mutex<Figures>,
}

/// What the publisher saw.
#[derive(Clone, Default)]
pub(crate) struct Figures {
    /// Answers by status; 0 stands for none.
    pub(crate) statuses: HashMap<u16, u64>,
    /// 429 and 503 that did not say when to come back.
    pub(crate) without_retry_after: u64,
    /// Answers that said that an earlier request with the key had made the event.
    pub(crate) replayed: u64,
    pub(crate) accepted: Vec<Accepted>,
}

/// An event that was answered with 201.
#[derive(Clone, Copy)]
pub(crate) struct Accepted {
    pub(crate) number: u64,
    pub(crate) asked: Instant,
    pub(crate) answered: Instant,
}

impl Figures {
    /// Answers that were neither 201 nor one of these.
    pub(crate) fn other_than(&self, statuses: &[u16]) -> u64 {
        let others = self.statuses.iter().filter(|(status, _)| **status != 201 && !statuses.contains(status));
        others.map(|(_, count)| count).sum()
    }

    /// How often each status came, for a note.
    pub(crate) fn tally(&self) -> String {
        let mut statuses: Vec<_> = self.statuses.iter().collect();
        statuses.sort();
        let one = |(status, count): &(&u16, &u64)| match status {
            0 => format!("{count} without answer"),
            status => format!("{count} x {status}"),
        };
        statuses.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}

impl Publisher {
    /// Starts to publish to the replicas in turn.
    pub(crate) fn start(rotation: Rotation, api_key: &str, ledger: Ledger, load: Load) -> Self {
        let shared = Arc::new(Shared {
            client: Client::new(),
            rotation,
            api_key: api_key.to_owned(),
            ledger,
            load,
            next_number: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            figures: Mutex::default(),
        });
        let mut tasks = JoinSet::new();
        for first in 0..shared.load.publishers.into() {
            tasks.spawn(shared.clone().publish_until_stopped(first));
        }
        Self { shared, tasks }
    }

    /// What it saw until now.
    pub(crate) fn figures(&self) -> Figures {
        self.shared.figures.lock().expect("nobody panics while holding it").clone()
    }

    /// Waits until so many are acknowledged.
    pub(crate) async fn until_acknowledged(&self, count: usize, patience: Duration) -> anyhow::Result<()> {
        let waiting = async {
            while self.shared.ledger.acknowledged() < count {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(patience, waiting).await.with_context(|| {
            format!("only {} of {count} events were acknowledged in time", self.shared.ledger.acknowledged())
        })
    }

    /// Waits until the last of `events_max` is acknowledged.
    pub(crate) async fn finish(mut self) -> anyhow::Result<Figures> {
        while let Some(ended) = self.tasks.join_next().await {
            ended??;
        }
        Ok(self.figures())
    }

    /// Publishes nothing new, and waits until every event with a key is acknowledged.
    pub(crate) async fn stop(self) -> anyhow::Result<Figures> {
        self.shared.stopping.store(true, Ordering::Relaxed);
        self.finish().await
    }
}

impl Shared {
    async fn publish_until_stopped(self: Arc<Self>, first: u64) -> anyhow::Result<()> {
        let period = Duration::from_secs(1) * self.load.publishers / self.load.rate.max(1);
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut own_numbers = (first..).step_by(self.load.publishers as usize);
        while !self.stopping.load(Ordering::Relaxed) {
            if self.load.rate > 0 {
                ticks.tick().await;
            }
            let number = match own_numbers.next().filter(|_| self.load.is_ordered) {
                Some(number) => number,
                None => self.next_number.fetch_add(1, Ordering::Relaxed),
            };
            if number >= self.load.events_max {
                return Ok(());
            }
            self.publish(number).await?;
        }
        Ok(())
    }

    async fn publish(&self, number: u64) -> anyhow::Result<()> {
        let is_keyed = number % 3 < self.load.keyed_of_three;
        let key = is_keyed.then(|| format!("number-{number}"));
        let body = payload(number, self.load.padding);
        let mut stopping_since: Option<Instant> = None;
        loop {
            let reply = self.call(number, key.as_deref(), body.clone()).await;
            match reply {
                Ok(reply) if reply.status == 201 => {
                    let event_id =
                        reply.json()?["event_id"].as_str().context("201 without an event_id")?.to_owned();
                    return self.ledger.acknowledge(event_id, number).await;
                }
                _ if !is_keyed => {
                    self.ledger.doubt(number);
                    return Ok(());
                }
                _ => {}
            }
            if self.stopping.load(Ordering::Relaxed) {
                let since = *stopping_since.get_or_insert_with(Instant::now);
                anyhow::ensure!(since.elapsed() < LAST_TRIES, "event {number} was never acknowledged");
            }
            tokio::time::sleep(RETRY_WAIT).await;
        }
    }

    async fn call(&self, number: u64, key: Option<&str>, body: String) -> anyhow::Result<Reply> {
        let asked = Instant::now();
        let order = self.load.is_ordered.then(|| format!("stream-{}", self.load.stream_of(number)));
        let headers = [("idempotency-key", key), ("trunkline-ordering-key", order.as_deref())];
        let port = self.rotation.next();
        let reply = self.client.post(port, "/v1/events", &self.api_key, &headers, body).await;
        let mut figures = self.figures.lock().expect("nobody panics while holding it");
        let status = reply.as_ref().map_or(0, |reply| reply.status);
        *figures.statuses.entry(status).or_default() += 1;
        if let Ok(reply) = &reply {
            let must_say_when = matches!(status, 429 | 503);
            figures.without_retry_after += u64::from(must_say_when && !reply.has("retry-after"));
            figures.replayed += u64::from(reply.has("idempotency-replayed"));
        }
        if status == 201 {
            figures.accepted.push(Accepted { number, asked, answered: Instant::now() });
        }
        reply
    }
}

/// The bytes of an event; the same for every try.
pub(crate) fn payload(number: u64, padding: usize) -> String {
    format!(r#"{{"type":"fault.survived","number":{number},"padding":"{}"}}"#, "x".repeat(padding))
}
