//! The engine: it hears what happened, starts what may be started, and asks for more.
//!
//! One task owns all that is known of the endpoints (the roster) and never waits for the database or an endpoint: claims,
//! looks and attempts are tasks of their own, whose ends it hears of. Claims commit before anything is sent.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use metrics::{counter, gauge};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use trunkline_boot::{Clock, Settings, Shutdown};
use trunkline_domain::{AttemptOutcome, EventId, LaneSet};
use trunkline_store::StoreError;
use trunkline_store::deliveries::{NextStep, Places};

use crate::attempt::{self, Ended, Sender};
use crate::desk::{ClaimAnswer, Desk, LoadAnswer, LookAnswer};
use crate::lanes::Lanes;
use crate::recorder::Stuck;
use crate::roster::{CallableFactory, Fared, GivenBack, Limits, Roster, Start};
use crate::wake::Mailbox;

/// Ends of attempts taken in at one time.
const ENDED_MAX: usize = 512;

/// Between the starts of two claims: under load each brings more, and costs hardly more than one that brings little. A
/// quiet worker claims at once.
const CLAIM_GAP: Duration = Duration::from_millis(4);

/// Between two loads of endpoints in use.
const LOAD_GAP: Duration = Duration::from_secs(1);

/// Between two questions after the oldest open event. A retry by hand of an older one is found by then.
const OLDEST_GAP: Duration = Duration::from_secs(10);

/// After an answer that the database did not give.
const AFTER_FAILURE: Duration = Duration::from_millis(250);

/// Looks may take a twentieth of the time: where one takes long, because an old snapshot keeps dead rows from being
/// cleared away, the next comes later.
const LOOK_SHARE: u32 = 20;

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
}

/// An attempt that ended, and which of those under way it is.
type Numbered = (u64, Ended);

/// An attempt that was started and has not ended.
struct UnderWay {
    claim: GivenBack,
    payload_bytes: usize,
}

/// Questions to the database that are not answered yet, and when the next may be asked.
struct Asks {
    claim: Option<JoinHandle<ClaimAnswer>>,
    claim_at: Instant,
    look: Option<JoinHandle<Result<LookAnswer, StoreError>>>,
    look_at: Instant,
    /// Somebody asked for a look while one was under way, which may have come too early.
    look_again: bool,
    load: Option<JoinHandle<Result<LoadAnswer, StoreError>>>,
    load_at: Instant,
    places: Places,
    oldest_open: Option<EventId>,
    oldest_at: Instant,
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
        }
    }

    /// Works until a stop is requested, then lets what was sent come to its end.
    pub(crate) async fn run(mut self: Box<Self>, shutdown: Shutdown) {
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
        }
        self.drain().await;
    }

    // --- hearing --------------------------------------------------------------------------------------------------

    /// Takes in the ends of attempts and passes them on to be recorded.
    fn hear_ends(&mut self, batch: &mut Vec<Numbered>) {
        let now = self.clock.now();
        let any = !batch.is_empty();
        for (number, ended) in batch.drain(..) {
            let fared = match ended.attempt.outcome {
                AttemptOutcome::Succeeded => Fared::Well,
                AttemptOutcome::InternalError => Fared::Unknown,
                _ => Fared::Badly,
            };
            let retry_at = match ended.attempt.next {
                NextStep::RetryAt(at) => Some(at),
                NextStep::Delivered | NextStep::GiveUp => None,
            };
            let endpoint_id = ended.attempt.key.endpoint_id;
            let payload_bytes = self.under_way.remove(&number).map_or(0, |one| one.payload_bytes);
            self.roster.note_ended(endpoint_id, fared, retry_at, payload_bytes, now);
            // There is room: no more is claimed than fits. Were there none, the lease would bring the delivery back.
            if self.recorder.try_send(ended).is_err() {
                tracing::error!("an outcome found no room; the delivery comes back when its lease ends");
            }
        }
        if any {
            self.roster.requeue_crowded(now);
            while self.attempts.try_join_next().is_some() {}
        }
        self.roster.run_timers(now);
    }

    fn hear_claim(&mut self, answer: Option<ClaimAnswer>) {
        let Some(ClaimAnswer { wanted, claimed, leased_until }) = answer else { return };
        let now = self.clock.now();
        match claimed {
            Ok(claimed) => {
                self.is_away = false;
                counter!("trunkline_worker_claimed_total").increment(claimed.len() as u64);
                self.roster.note_claimed(&wanted, claimed, leased_until, now);
            }
            Err(error) => {
                self.roster.note_claim_failed(&wanted, now);
                self.asks.claim_at = self.note_failure(&error);
            }
        }
    }

    fn hear_look(&mut self, answer: Option<Result<LookAnswer, StoreError>>) {
        match answer {
            Some(Ok(look)) => {
                self.is_away = false;
                let now = self.clock.now();
                let poll = if look.places.is_empty() { self.times.poll_idle } else { self.times.poll_busy };
                let wait = if std::mem::take(&mut self.asks.look_again) { Duration::ZERO } else { poll };
                self.asks.look_at = Instant::now() + wait.max(look.took * LOOK_SHARE);
                self.asks.places = look.places;
                self.asks.oldest_open = look.oldest_open;
                look.active.into_iter().for_each(|active| self.roster.note_active(active, now));
            }
            Some(Err(error)) => self.asks.look_at = self.note_failure(&error),
            None => {}
        }
    }

    fn hear_load(&mut self, answer: Option<Result<LoadAnswer, StoreError>>) {
        match answer {
            Some(Ok(load)) => self.roster.note_loaded(&load.asked, load.loaded, self.clock.now()),
            Some(Err(error)) => self.asks.load_at = self.note_failure(&error),
            None => {}
        }
    }

    fn hear_mail(&mut self) {
        let (mail, now, serving) = (self.mailbox.take(), self.clock.now(), self.lanes.serving());
        for hint in mail.hints.into_iter().filter(|hint| serving.contains(hint.lane)) {
            self.roster.note_hint(hint, now);
        }
        if mail.look {
            // What was retried by hand may be older than all that was open.
            (self.asks.look_at, self.asks.oldest_at) = (Instant::now(), Instant::now());
            self.asks.look_again = self.asks.look.is_some();
        }
    }

    /// Notices which lanes came and went.
    fn hear_lanes(&mut self) {
        let gained = self.lanes.take_gained();
        if !gained.is_empty() {
            self.roster.note_gained(gained);
        }
        let serving = self.lanes.serving();
        if serving != self.served {
            self.served = serving;
            self.roster.keep_only(serving, self.clock.now());
        }
    }

    /// Says once that the database is away, and when to ask again.
    fn note_failure(&mut self, error: &StoreError) -> Instant {
        if !std::mem::replace(&mut self.is_away, true) {
            tracing::warn!(%error, "claiming stopped; trying again until the database answers");
        }
        Instant::now() + AFTER_FAILURE
    }

    // --- starting -------------------------------------------------------------------------------------------------

    fn start(&mut self) {
        for start in self.roster.start(self.clock.now()) {
            self.start_one(start);
        }
        let given_back = self.roster.take_given_back();
        if !given_back.is_empty() {
            tokio::spawn(self.desk.clone().give_back(given_back));
        }
        self.lanes.note_busy(self.roster.busy());
        gauge!("trunkline_worker_attempts_under_way").set(self.under_way.len() as f64);
    }

    /// Starts an attempt as a task of its own.
    fn start_one(&mut self, start: Start) {
        let Start { claimed, callable, leased_until } = start;
        let (sender, clock, ended) = (self.sender.clone(), self.clock.clone(), self.ended.0.clone());
        let number = self.started;
        self.started += 1;
        let claim = (claimed.key.clone(), claimed.lease);
        self.under_way.insert(number, UnderWay { claim, payload_bytes: claimed.payload_bytes() });
        self.attempts.spawn(async move {
            let attempt = attempt::make(&claimed, &callable, &sender, &clock, leased_until);
            let result = AssertUnwindSafe(attempt).catch_unwind().await.unwrap_or_else(|_| {
                counter!("trunkline_worker_panics_total").increment(1);
                attempt::after_panic(&claimed, &callable, &clock, leased_until)
            });
            // The engine outlives its attempts, so this fails only when the process is going down hard.
            let _ = ended.send((number, result)).await;
        });
    }

    // --- asking ---------------------------------------------------------------------------------------------------

    fn ask(&mut self) {
        let (now, serving) = (Instant::now(), self.served);
        if self.asks.load.is_none() && (now >= self.asks.load_at || self.roster.is_ignorant()) {
            self.asks.load_at = now + LOAD_GAP;
            let stale = self.roster.stale();
            if !stale.is_empty() {
                let load = self.desk.clone().load(stale, self.factory.clone());
                self.asks.load = Some(tokio::spawn(load));
            }
        }
        if serving.is_empty() {
            return;
        }
        if self.asks.look.is_none() && now >= self.asks.look_at {
            let is_known = now < self.asks.oldest_at;
            let from = self.asks.oldest_open.filter(|_| is_known);
            if from.is_none() {
                self.asks.oldest_at = now + OLDEST_GAP;
            }
            let places = std::mem::take(&mut self.asks.places);
            self.asks.look = Some(tokio::spawn(self.desk.clone().look(serving, places, from)));
        }
        if self.asks.claim.is_none() && now >= self.asks.claim_at {
            self.claim(serving);
        }
    }

    fn claim(&mut self, serving: LaneSet) {
        if self.stuck.is_stuck() {
            return;
        }
        // Whatever is claimed must find room with the recorder when it has ended.
        let spare = self.recorder.capacity().saturating_sub(self.roster.outstanding());
        let now = self.clock.now();
        let wanted = self.roster.plan(serving, spare, now);
        if wanted.is_empty() {
            return;
        }
        self.asks.claim_at = Instant::now() + CLAIM_GAP;
        // Where nothing was open at the last look, what has come since is new.
        let from = self.asks.oldest_open.unwrap_or_else(|| EventId::first_at(now - OLDEST_GAP * 2));
        let claim = self.desk.clone().claim(wanted, from, self.lanes.dead());
        self.asks.claim = Some(tokio::spawn(claim));
    }

    /// When something is to be done although nothing is heard.
    fn next_at(&self) -> Instant {
        let timer = self.roster.next_timer().map(|at| self.until(at));
        let claim = (self.asks.claim.is_none()).then_some(self.asks.claim_at);
        let is_due = |at: &Instant| *at > Instant::now();
        let look = (self.asks.look.is_none()).then_some(self.asks.look_at);
        let load = (self.asks.load.is_none()).then_some(self.asks.load_at);
        let idle = Instant::now() + self.times.poll_idle;
        [timer, claim, look, load].into_iter().flatten().filter(is_due).min().unwrap_or(idle).min(idle)
    }

    fn until(&self, at: DateTime<Utc>) -> Instant {
        Instant::now() + (at - self.clock.now()).to_std().unwrap_or_default() + Duration::from_millis(1)
    }

    // --- stopping -------------------------------------------------------------------------------------------------

    /// Gives back what was only claimed, waits for the attempts that were started, and gives back what is not done when the
    /// time is over.
    async fn drain(mut self: Box<Self>) {
        let end = Instant::now() + self.times.drain;
        if let Some(claim) = self.asks.claim.take() {
            let answer = tokio::time::timeout_at(end, claim).await;
            if let Ok(Ok(answer)) = answer {
                self.hear_claim(Some(answer));
            }
        }
        self.roster.clear_shelves(self.clock.now());
        let unsent = self.roster.take_given_back();
        if !unsent.is_empty() {
            self.desk.clone().give_back(unsent).await;
        }
        let mut batch = Vec::new();
        while !self.under_way.is_empty() {
            let received = self.ended.1.recv_many(&mut batch, ENDED_MAX);
            if tokio::time::timeout_at(end, received).await.is_err() {
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
            self.desk.give_back(unfinished).await;
        }
    }
}

impl Asks {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            claim: None,
            claim_at: now,
            look: None,
            look_at: now,
            look_again: false,
            load: None,
            load_at: now,
            places: Places::new(),
            oldest_open: None,
            oldest_at: now,
        }
    }
}

/// Waits for the answer to a question, for ever if none was asked; `None` = its task panicked.
async fn answered<T>(ask: &mut Option<JoinHandle<T>>) -> Option<T> {
    let Some(handle) = ask else { return std::future::pending().await };
    let answer = handle.await;
    *ask = None;
    answer.inspect_err(|error| tracing::error!(%error, "a question to the database ended by itself")).ok()
}
