//! What the engine hears: attempts that ended, answers of the database, notifications, lanes that came and went.

use std::time::Duration;

use tokio::time::Instant;
use trunkline_domain::AttemptOutcome;
use trunkline_store::StoreError;
use trunkline_store::deliveries::NextStep;

use super::ask::BUSY_FROM;
use super::{Engine, Numbered};
use crate::desk::{ClaimAnswer, LoadAnswer, LookAnswer};
use crate::metrics::METRICS;
use crate::roster::{BreakerNews, Ending, Fared};

/// After an answer that the database did not give, or whose task panicked.
const AFTER_FAILURE: Duration = Duration::from_millis(250);

/// Looks may take a twentieth of the time: where one takes long, because an old snapshot keeps dead rows from being
/// cleared away, the next comes later.
const LOOK_SHARE: u32 = 20;

/// But not later than so: what only a look finds, such as a retry that another worker wrote down, waits no longer.
const LOOK_WAIT_MAX: Duration = Duration::from_secs(2);

impl Engine {
    /// Takes in the ends of attempts and passes them on to be recorded.
    pub(super) fn hear_ends(&mut self, batch: &mut Vec<Numbered>) {
        let now = self.clock.now();
        let any = !batch.is_empty();
        for (number, mut ended) in batch.drain(..) {
            let payload_bytes = self.under_way.remove(&number).map_or(0, |one| one.payload_bytes);
            let fared = match ended.attempt.outcome {
                AttemptOutcome::Succeeded => Fared::Well,
                outcome if outcome.is_fault_of_endpoint() => Fared::Badly,
                _ => Fared::Unknown,
            };
            let retry_at = match ended.attempt.next {
                NextStep::RetryAt(at) => Some(at),
                NextStep::Delivered | NextStep::GiveUp => None,
            };
            let (endpoint_id, started_at) = (ended.attempt.key.endpoint_id, ended.attempt.started_at);
            let consequence = ended.consequence;
            let ending = Ending { endpoint_id, fared, started_at, retry_at, consequence, payload_bytes };
            ended.breaker = self.roster.note_ended(ending, now);
            match ended.breaker {
                Some(BreakerNews::OpenUntil(_)) => METRICS.breakers_opened.increment(1),
                Some(BreakerNews::Closed) => METRICS.breakers_closed.increment(1),
                None => {}
            }
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

    pub(super) fn hear_claim(&mut self, answer: Option<ClaimAnswer>) {
        let now = self.clock.now();
        let Some(ClaimAnswer { wanted, claimed, leased_until }) = answer else {
            let wanted = std::mem::take(&mut self.asks.wanted);
            self.asks.claim_at = Instant::now() + AFTER_FAILURE;
            return self.roster.note_claim_failed(&wanted, now);
        };
        match claimed {
            Ok(claimed) => {
                self.is_away = false;
                METRICS.claims.increment(1);
                METRICS.claimed.increment(claimed.len() as u64);
                if claimed.len() < BUSY_FROM {
                    self.asks.claim_at = Instant::now();
                }
                self.roster.note_claimed(&wanted, claimed, leased_until, now);
            }
            Err(error) => {
                METRICS.claims_failed.increment(1);
                self.roster.note_claim_failed(&wanted, now);
                self.asks.claim_at = self.note_failure(&error);
            }
        }
    }

    pub(super) fn hear_look(&mut self, answer: Option<Result<LookAnswer, StoreError>>) {
        match answer {
            Some(Ok(look)) => {
                self.is_away = false;
                let now = self.clock.now();
                let poll = if look.places.is_empty() { self.times.poll_idle } else { self.times.poll_busy };
                let rest = poll.max((look.took * LOOK_SHARE).min(LOOK_WAIT_MAX));
                let wait = if std::mem::take(&mut self.asks.look_again) { Duration::ZERO } else { rest };
                self.asks.look_at = Instant::now() + wait;
                self.asks.places = look.places;
                self.asks.oldest_open = look.oldest_open;
                look.active.into_iter().for_each(|active| self.roster.note_active(active, now));
            }
            Some(Err(error)) => self.asks.look_at = self.note_failure(&error),
            None => self.asks.look_at = Instant::now() + AFTER_FAILURE,
        }
    }

    pub(super) fn hear_load(&mut self, answer: Option<Result<LoadAnswer, StoreError>>) {
        match answer {
            Some(Ok(load)) => self.roster.note_loaded(&load.asked, load.loaded, self.clock.now()),
            Some(Err(error)) => self.asks.load_at = self.note_failure(&error),
            None => self.asks.load_at = Instant::now() + AFTER_FAILURE,
        }
    }

    pub(super) fn hear_mail(&mut self) {
        let (mail, now, serving) = (self.mailbox.take(), self.clock.now(), self.lanes.serving());
        // Before the hints, which may be of what was published after the change.
        self.roster.note_changed(&mail.changed);
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
    pub(super) fn hear_lanes(&mut self) {
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
    pub(super) fn note_failure(&mut self, error: &StoreError) -> Instant {
        if !std::mem::replace(&mut self.is_away, true) {
            tracing::warn!(%error, "claiming stopped; trying again until the database answers");
        }
        Instant::now() + AFTER_FAILURE
    }
}
