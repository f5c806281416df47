//! The engine: it hears what happened, starts what may be started, and asks for more.
//!
//! One task owns all that is known of the endpoints (the roster) and never waits for the database or an endpoint: claims,
//! looks and attempts are tasks of their own, whose ends it hears of. Claims commit before anything is sent.

mod ask;
mod hear;

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use trunkline_boot::{Clock, Settings, Shutdown};
use trunkline_domain::LaneSet;
use trunkline_store::deliveries::GivenBack;

use crate::attempt::{self, Ended, Sender};
use crate::desk::Desk;
use crate::lanes::Lanes;
use crate::metrics::METRICS;
use crate::recorder::Stuck;
use crate::roster::{CallableFactory, Limits, Roster, Start};
use crate::wake::Mailbox;
use ask::{Asks, answered};

/// Ends of attempts taken in at one time.
const ENDED_MAX: usize = 512;

/// What a stop may take beyond `worker.drain`: outcomes are written, lanes given up, what was cut short given back. What is not done by
/// then is left as if the worker had been killed.
const LAST_STEPS: Duration = Duration::from_secs(2);

/// How often the breakers are counted.
const BREAKERS_EVERY: Duration = Duration::from_secs(5);

/// What the engine is put together from.
pub(crate) struct Engine {
    desk: Desk,
    clock: Clock,
    lanes: Lanes,
    mailbox: Mailbox,
    sender: Sender,
    factory: Arc<CallableFactory>,
    roster: Roster,
    /// Ends of attempts come in here, and go out to the recorder.
    ended: (mpsc::Sender<Numbered>, mpsc::Receiver<Numbered>),
    recorder: mpsc::Sender<Ended>,
    stuck: Stuck,
    attempts: JoinSet<()>,
    under_way: HashMap<u64, UnderWay>,
    started: u64,
    served: LaneSet,
    asks: Asks,
    times: Times,
    is_away: bool,
    breakers_at: Instant,
}

/// An attempt that ended, and which of those under way it is.
type Numbered = (u64, Ended);

/// An attempt that was started and has not ended.
struct UnderWay {
    claim: GivenBack,
    payload_bytes: usize,
}

/// The durations of the settings that the engine goes by.
#[derive(Debug, Clone, Copy)]
struct Times {
    drain: Duration,
    poll_idle: Duration,
    poll_busy: Duration,
}

/// What an engine is put together from.
pub(crate) struct Parts {
    pub(crate) desk: Desk,
    pub(crate) clock: Clock,
    pub(crate) lanes: Lanes,
    pub(crate) mailbox: Mailbox,
    pub(crate) sender: Sender,
    pub(crate) factory: CallableFactory,
    /// Has room for twice `worker.concurrency`.
    pub(crate) recorder: mpsc::Sender<Ended>,
    pub(crate) stuck: Stuck,
}

impl Engine {
    pub(crate) fn new(settings: &Settings, parts: Parts) -> Self {
        let worker = &settings.worker;
        let limits =
            Limits { concurrency: worker.concurrency, endpoint_concurrency: worker.endpoint_concurrency };
        Self {
            desk: parts.desk,
            clock: parts.clock,
            lanes: parts.lanes,
            mailbox: parts.mailbox,
            sender: parts.sender,
            factory: Arc::new(parts.factory),
            roster: Roster::new(limits),
            // As many as can be under way: an attempt that ended never waits for room.
            ended: mpsc::channel(worker.concurrency),
            recorder: parts.recorder,
            stuck: parts.stuck,
            attempts: JoinSet::new(),
            under_way: HashMap::new(),
            started: 0,
            served: LaneSet::NONE,
            asks: Asks::new(),
            times: Times { drain: worker.drain, poll_idle: worker.poll_idle, poll_busy: worker.poll_busy },
            is_away: false,
            breakers_at: Instant::now(),
        }
    }

    /// Works until a stop is requested, then lets what was sent come to its end. Returns by when all of the worker must have stopped.
    pub(crate) async fn run(mut self: Box<Self>, shutdown: Shutdown) -> Instant {
        METRICS.concurrency.set(self.roster.concurrency() as f64);
        let mut batch = Vec::with_capacity(ENDED_MAX);
        while !shutdown.is_requested() {
            let next = self.next_at();
            tokio::select! {
                biased;
                () = shutdown.requested() => break,
                _ = self.ended.1.recv_many(&mut batch, ENDED_MAX) => {}
                answer = answered(&mut self.asks.claim) => self.hear_claim(answer),
                answer = answered(&mut self.asks.look) => self.hear_look(answer),
                answer = answered(&mut self.asks.load) => self.hear_load(answer),
                () = self.mailbox.arrived() => self.hear_mail(),
                () = tokio::time::sleep_until(next) => {}
            }
            self.hear_ends(&mut batch);
            self.hear_lanes();
            self.start();
            self.ask();
            self.show_breakers();
        }
        self.drain().await
    }

    fn start(&mut self) {
        // What is claimed already waits too: its lease may be what the server lost.
        if !self.stuck.is_stuck() {
            for start in self.roster.start(self.clock.now()) {
                self.start_one(start);
            }
        }
        let given_back = self.roster.take_given_back();
        if !given_back.is_empty() {
            METRICS.given_back.increment(given_back.len() as u64);
            tokio::spawn(self.desk.clone().give_back(given_back));
        }
        self.lanes.note_busy(self.roster.busy());
        METRICS.under_way.set(self.under_way.len() as f64);
    }

    /// Shows how the breakers stand, now and then: it looks at every endpoint.
    fn show_breakers(&mut self) {
        let now = Instant::now();
        if now < self.breakers_at {
            return;
        }
        self.breakers_at = now + BREAKERS_EVERY;
        for (gauge, count) in METRICS.breakers.iter().zip(self.roster.breakers()) {
            gauge.set(count as f64);
        }
    }

    /// Starts an attempt as a task of its own.
    fn start_one(&mut self, start: Start) {
        let Start { mut claimed, callable, leased_until } = start;
        let (sender, clock, ended) = (self.sender.clone(), self.clock.clone(), self.ended.0.clone());
        let number = self.started;
        self.started += 1;
        let waited = (clock.now() - claimed.due_at).to_std().unwrap_or_default();
        METRICS.wait_seconds.record(waited.as_secs_f64());
        let span = attempt::span_of(&mut claimed, waited);
        let claim = GivenBack { key: claimed.key.clone(), lease: claimed.lease, retry_at: None };
        self.under_way.insert(number, UnderWay { claim, payload_bytes: claimed.payload_bytes() });
        self.attempts.spawn(async move {
            let attempt = attempt::make(&claimed, &callable, &sender, &clock, leased_until);
            let result = AssertUnwindSafe(attempt).catch_unwind().await.unwrap_or_else(|_| {
                METRICS.panics.increment(1);
                attempt::after_panic(&claimed, &callable, &clock, leased_until)
            });
            // Nor may what is told of it lose its end, and its place with it.
            let told = std::panic::catch_unwind(AssertUnwindSafe(|| attempt::conclude(span, &result)));
            if told.is_err() {
                METRICS.panics.increment(1);
            }
            // The engine outlives its attempts, so this fails only when the process is going down hard.
            let _ = ended.send((number, result)).await;
        });
    }

    /// Gives back what was only claimed while the attempts that were started come to their end, and gives back what is not done when
    /// the time is over.
    async fn drain(mut self: Box<Self>) -> Instant {
        let end = Instant::now() + self.times.drain;
        let last = end + LAST_STEPS;
        if let Some(claim) = self.asks.claim.take() {
            let answer = timeout_at(end, claim).await;
            if let Ok(Ok(answer)) = answer {
                self.hear_claim(Some(answer));
            }
        }
        self.roster.clear_shelves(self.clock.now());
        let unsent = self.roster.take_given_back();
        let giving_back = (!unsent.is_empty()).then(|| tokio::spawn(self.desk.clone().give_back(unsent)));
        let mut batch = Vec::new();
        while !self.under_way.is_empty() {
            let received = self.ended.1.recv_many(&mut batch, ENDED_MAX);
            if timeout_at(end, received).await.is_err() {
                break;
            }
            self.hear_ends(&mut batch);
            self.lanes.note_busy(self.roster.busy());
        }
        self.attempts.shutdown().await;
        while let Ok(ended) = self.ended.1.try_recv() {
            batch.push(ended);
        }
        self.hear_ends(&mut batch);
        self.lanes.note_busy(LaneSet::NONE);
        let unfinished: Vec<_> = self.under_way.into_values().map(|one| one.claim).collect();
        if !unfinished.is_empty() {
            tracing::warn!(
                count = unfinished.len(),
                "attempts were cut short by the stop and are given back"
            );
            let _ = timeout_at(last, self.desk.give_back(unfinished)).await;
        }
        if let Some(giving_back) = giving_back {
            let _ = timeout_at(last, giving_back).await;
        }
        last
    }
}
