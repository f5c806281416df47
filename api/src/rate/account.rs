//! What one process knows and holds of one tenant's bucket. Time is an argument.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use trunkline_store::rate_buckets::Drawn;

use super::{Allowance, Limits};

/// A process holds at most this part of the burst: three of them hold less than a tenth.
const PARTS: u32 = 32;

/// A lot is what was used lately in this time.
const SPAN: Duration = Duration::from_millis(100);

/// The least that is drawn ahead, where [`PARTS`] allows it: a quiet tenant draws once in some events, not for each.
const LOT_MIN: u32 = 8;

/// What is not used within this is given up, but for [`LOT_MIN`]: the tenant publishes elsewhere.
const KEPT_FOR: Duration = Duration::from_secs(1);

/// How long an empty bucket is left alone: whoever publishes far above its rate must not cost a statement each time.
const EMPTY_FOR: Duration = Duration::from_millis(10);

/// A tenant's tokens in this process.
pub(super) struct Account {
    /// Tokens that were drawn and not used.
    lot: u32,
    /// Tokens used since [`Self::counted_from`], which is a [`SPAN`] ago at most, and in the span before.
    used: u32,
    used_before: u32,
    counted_from: Instant,
    used_at: Instant,
    /// What the bucket held at that time. Other processes take from it too, so now it holds at most what it gained since.
    left: f64,
    left_at: Instant,
    empty_until: Option<Instant>,
    is_drawing: bool,
    /// In the order in which they came.
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    events: u32,
    answer: oneshot::Sender<Answer>,
}

/// What someone who waited is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// The bucket was asked.
    Told(Allowance),
    /// The bucket could not be asked.
    NotDrawn,
}

/// The answer to a request.
pub(super) enum Taken {
    /// Known at once.
    Now(Allowance),
    /// After a draw.
    Later(oneshot::Receiver<Answer>),
}

/// A draw to be made; [`Account::settle`] must hear of its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ask {
    /// All of these or nothing.
    pub(super) needed: u32,
    /// As many beyond them as there are.
    pub(super) wanted: u32,
}

impl Account {
    pub(super) fn new(limits: Limits, now: Instant) -> Self {
        Self {
            lot: 0,
            used: 0,
            used_before: 0,
            counted_from: now,
            used_at: now,
            // Nothing is known yet: it may be full.
            left: f64::from(limits.burst),
            left_at: now,
            empty_until: None,
            is_drawing: false,
            waiting: VecDeque::new(),
        }
    }

    /// Takes tokens from the lot, refuses, or has its caller wait for a draw.
    pub(super) fn take(&mut self, limits: Limits, events: u32, now: Instant) -> (Taken, Option<Ask>) {
        self.give_up_unused(limits, now);
        self.used_at = now;
        if self.waiting.is_empty() && self.lot >= events {
            self.use_up(events, now);
            return (Taken::Now(self.granted(limits, now)), self.draw_ahead(limits, now));
        }
        if self.is_empty(now) || !self.may_hold(limits, events, now) {
            return (Taken::Now(self.refused(limits, events, now)), None);
        }
        let (answer, answered) = oneshot::channel();
        self.waiting.push_back(Waiting { events, answer });
        (Taken::Later(answered), self.draw_for_waiting(limits))
    }

    /// The refusal of even one event, if that is certain.
    pub(super) fn refuses_all(&self, limits: Limits, now: Instant) -> Option<Allowance> {
        (!self.may_hold(limits, 1, now)).then(|| self.refused(limits, 1, now))
    }

    /// Takes in what a draw brought, answers who waited for it, and says what to draw next; `None` = it failed.
    pub(super) fn settle(&mut self, limits: Limits, drawn: Option<Drawn>, now: Instant) -> Option<Ask> {
        self.is_drawing = false;
        let Some(drawn) = drawn else {
            for waiting in self.waiting.drain(..) {
                let _ = waiting.answer.send(Answer::NotDrawn);
            }
            return None;
        };
        self.lot = self.lot.saturating_add(drawn.granted);
        (self.left, self.left_at) = (drawn.left, now);
        self.empty_until = (drawn.left < 1.0).then(|| now + EMPTY_FOR);
        while let Some(first) = self.waiting.front() {
            if first.answer.is_closed() {
                // Nobody waits any more.
                self.waiting.pop_front();
                continue;
            }
            let events = first.events;
            let allowance = if events <= self.lot {
                self.use_up(events, now);
                self.granted(limits, now)
            } else if self.may_hold(limits, events, now) && !self.is_empty(now) {
                break;
            } else {
                self.refused(limits, events, now)
            };
            let first = self.waiting.pop_front().map(|first| first.answer.send(Answer::Told(allowance)));
            if allowance.is_granted && first.is_some_and(|told| told.is_err()) {
                // Nor now.
                self.lot += events;
            }
        }
        if self.waiting.is_empty() { None } else { self.draw_for_waiting(limits) }
    }

    fn draw_for_waiting(&mut self, limits: Limits) -> Option<Ask> {
        if self.is_drawing {
            return None;
        }
        let mut waiting = self.waiting.iter().map(|waiting| waiting.events);
        let needed = waiting.next()?.saturating_sub(self.lot);
        let others = waiting.fold(0, u32::saturating_add);
        Some(self.draw(needed, others.saturating_add(self.lot_size(limits))))
    }

    fn draw_ahead(&mut self, limits: Limits, now: Instant) -> Option<Ask> {
        let size = self.lot_size(limits);
        let is_worth_it = !self.is_drawing && self.lot < size / 2 && !self.is_empty(now);
        is_worth_it.then(|| self.draw(0, size - self.lot))
    }

    fn draw(&mut self, needed: u32, wanted: u32) -> Ask {
        self.is_drawing = true;
        Ask { needed, wanted }
    }

    /// What is worth holding: as much as was used lately in [`SPAN`].
    fn lot_size(&self, limits: Limits) -> u32 {
        let most = limits.burst / PARTS;
        self.used.max(self.used_before).clamp(most.min(LOT_MIN), most)
    }

    fn give_up_unused(&mut self, limits: Limits, now: Instant) {
        if now.saturating_duration_since(self.used_at) > KEPT_FOR {
            self.lot = self.lot.min(LOT_MIN).min(limits.burst / PARTS);
        }
    }

    fn use_up(&mut self, events: u32, now: Instant) {
        let counted_for = now.saturating_duration_since(self.counted_from);
        if counted_for >= SPAN {
            self.used_before = if counted_for < 2 * SPAN { self.used } else { 0 };
            (self.used, self.counted_from) = (0, now);
        }
        self.lot -= events;
        self.used = self.used.saturating_add(events);
    }

    fn is_empty(&self, now: Instant) -> bool {
        self.empty_until.is_some_and(|until| now < until)
    }

    /// Whether so many could be had now: false is certain.
    fn may_hold(&self, limits: Limits, events: u32, now: Instant) -> bool {
        self.missing(limits, events, now) <= 0.0
    }

    /// What the bucket lacks, at least, to grant what the lot does not hold. As the draw has it: a full bucket grants any number, but
    /// the lot does not stand in for what is missing of a full one.
    fn missing(&self, limits: Limits, events: u32, now: Instant) -> f64 {
        let needed = events.saturating_sub(self.lot).min(limits.burst);
        f64::from(needed) - self.in_bucket(limits, now)
    }

    /// Tokens in the bucket, at most.
    fn in_bucket(&self, limits: Limits, now: Instant) -> f64 {
        let gained = now.saturating_duration_since(self.left_at).as_secs_f64() * f64::from(limits.per_second);
        (self.left + gained).min(f64::from(limits.burst))
    }

    fn granted(&self, limits: Limits, now: Instant) -> Allowance {
        self.allowance(limits, 0, now)
    }

    fn refused(&self, limits: Limits, events: u32, now: Instant) -> Allowance {
        let wait = (self.missing(limits, events, now) / f64::from(limits.per_second)).ceil() as u64;
        self.allowance(limits, wait.max(1), now)
    }

    fn allowance(&self, limits: Limits, wait_seconds: u64, now: Instant) -> Allowance {
        let remaining = self.in_bucket(limits, now) + f64::from(self.lot);
        Allowance {
            burst: limits.burst,
            window_seconds: u64::from(limits.burst.div_ceil(limits.per_second)),
            remaining: (remaining as u32).min(limits.burst),
            wait_seconds,
            is_granted: wait_seconds == 0,
        }
    }
}

#[cfg(test)]
mod tests;
