//! What the engine asks of the database, and when: each question is a task of its own, one of a kind at a time.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use trunkline_domain::EventId;
use trunkline_store::StoreError;
use trunkline_store::deliveries::{Places, Wanted};

use super::Engine;
use crate::desk::{ClaimAnswer, LoadAnswer, LookAnswer};

/// Between the starts of two claims of a busy worker: each brings more, and costs hardly more than one that brings little.
const CLAIM_GAP: Duration = Duration::from_millis(8);

/// A worker whose last claim brought fewer is not busy: it claims at once.
pub(super) const BUSY_FROM: usize = 16;

/// Between two loads of endpoints in use.
const LOAD_GAP: Duration = Duration::from_secs(1);

/// Between two questions after the oldest open event. A retry by hand of an older one is found by then.
const OLDEST_GAP: Duration = Duration::from_secs(10);

/// Questions to the database that are not answered yet, and when the next may be asked.
pub(super) struct Asks {
    pub(super) claim: Option<JoinHandle<ClaimAnswer>>,
    /// What the claim under way asks for.
    pub(super) wanted: Vec<Wanted>,
    pub(super) claim_at: Instant,
    pub(super) look: Option<JoinHandle<Result<LookAnswer, StoreError>>>,
    pub(super) look_at: Instant,
    /// Somebody asked for a look while one was under way, which may have come too early.
    pub(super) look_again: bool,
    pub(super) load: Option<JoinHandle<Result<LoadAnswer, StoreError>>>,
    pub(super) load_at: Instant,
    pub(super) places: Places,
    pub(super) oldest_open: Option<EventId>,
    pub(super) oldest_at: Instant,
}

impl Asks {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            claim: None,
            wanted: Vec::new(),
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

impl Engine {
    pub(super) fn ask(&mut self) {
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
            self.claim();
        }
    }

    pub(super) fn claim(&mut self) {
        if self.stuck.is_stuck() {
            return;
        }
        // Whatever is claimed must find room with the recorder when it has ended.
        let spare = self.recorder.capacity().saturating_sub(self.roster.outstanding());
        let now = self.clock.now();
        let wanted = self.roster.plan(spare, now);
        if wanted.is_empty() {
            return;
        }
        self.asks.claim_at = Instant::now() + CLAIM_GAP;
        // Where nothing was open at the last look, what has come since is new.
        let from = self.asks.oldest_open.unwrap_or_else(|| EventId::first_at(now - OLDEST_GAP * 2));
        self.asks.wanted.clone_from(&wanted);
        let claim = self.desk.clone().claim(wanted, from, self.lanes.dead());
        self.asks.claim = Some(tokio::spawn(claim));
    }

    /// When something is to be done although nothing is heard.
    pub(super) fn next_at(&self) -> Instant {
        let timer = self.roster.next_timer().map(|at| self.until(at));
        let claim = (self.asks.claim.is_none()).then_some(self.asks.claim_at);
        let is_due = |at: &Instant| *at > Instant::now();
        let look = (self.asks.look.is_none()).then_some(self.asks.look_at);
        let load = (self.asks.load.is_none()).then_some(self.asks.load_at);
        let idle = Instant::now() + self.times.poll_idle;
        [timer, claim, look, load].into_iter().flatten().filter(is_due).min().unwrap_or(idle).min(idle)
    }

    pub(super) fn until(&self, at: DateTime<Utc>) -> Instant {
        Instant::now() + (at - self.clock.now()).to_std().unwrap_or_default() + Duration::from_millis(1)
    }
}

/// Waits for the answer to a question, for ever if none was asked; `None` = its task panicked.
pub(super) async fn answered<T>(ask: &mut Option<JoinHandle<T>>) -> Option<T> {
    let Some(handle) = ask else { return std::future::pending().await };
    let answer = handle.await;
    *ask = None;
    answer.inspect_err(|error| tracing::error!(%error, "a question to the database ended by itself")).ok()
}
