//! Events of tenants with payload filters. What judging one costs is bounded, yet up to who wrote the filters: a queue that gives each
//! tenant its turn, so that whoever's events are dear waits for its own.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;
use trunkline_domain::{TenantId, payload};
use trunkline_store::events::Filters;

use crate::metrics::METRICS;

use super::{BATCH_MAX, Flusher, NotStored, Waiting, plain};

/// Steps of filters in one statement, less than half a second at worst: it cannot reach the statement's limit of a second.
pub(super) const STATEMENT_STEPS: u64 = 4 * payload::STEPS_MAX;

/// Steps of one tenant in a statement: at least one event, whatever it costs.
const TURN_STEPS: u64 = payload::STEPS_MAX;

/// Events of one tenant that wait.
const WAITING_MAX: usize = 1_000;

/// Payload bytes of one tenant that wait: a quarter of what may wait in all.
const WAITING_BYTES_MAX: usize = super::QUEUE_BYTES_MAX / 4;

/// Events that wait to be judged and written, by tenant.
#[derive(Default)]
pub(super) struct FairQueue {
    state: Mutex<State>,
    came: Notify,
}

#[derive(Default)]
struct State {
    /// Tenants with events that wait; the first is next.
    tenants: VecDeque<Line>,
    is_closed: bool,
}

/// The events of a tenant.
struct Line {
    tenant_id: TenantId,
    events: VecDeque<Judged>,
    bytes: usize,
}

/// An event, and what judging it costs.
struct Judged {
    waiting: Waiting<()>,
    steps: u64,
}

impl FairQueue {
    /// Puts an event in, or tells its publisher that too many of its tenant's wait. Where the weight of its filters is not known, they are
    /// taken for as dear as may be.
    pub(super) fn put(&self, waiting: Waiting<()>) {
        let (bytes, event) = (waiting.event.payload.len(), &waiting.event);
        let steps = match waiting.filter_weight {
            None => payload::STEPS_MAX,
            Some(weight) if event.is_judged => payload::steps(&event.payload, weight),
            Some(_) => 0,
        };
        let mut state = self.state();
        let index = state.tenants.iter().position(|line| line.tenant_id == event.tenant_id);
        let index = index.unwrap_or_else(|| {
            let tenant_id = event.tenant_id.clone();
            state.tenants.push_back(Line { tenant_id, events: VecDeque::new(), bytes: 0 });
            state.tenants.len() - 1
        });
        let line = &mut state.tenants[index];
        if line.events.len() >= WAITING_MAX || line.bytes + bytes > WAITING_BYTES_MAX {
            return waiting.tell(Err(NotStored::Overloaded));
        }
        line.bytes += bytes;
        line.events.push_back(Judged { waiting, steps });
        drop(state);
        self.came.notify_one();
    }

    /// Nothing comes any more.
    pub(super) fn close(&self) {
        self.state().is_closed = true;
        self.came.notify_one();
    }

    /// What the next statement writes; `None` = the queue is closed and empty.
    async fn take(&self) -> Option<Vec<Waiting<()>>> {
        loop {
            let came = self.came.notified();
            {
                let mut state = self.state();
                if !state.tenants.is_empty() {
                    return Some(state.take());
                }
                if state.is_closed {
                    return None;
                }
            }
            came.await;
        }
    }

    fn length(&self) -> usize {
        self.state().tenants.iter().map(|line| line.events.len()).sum()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A turn of each tenant, as far as a statement has room. Who had one goes to the end of the line.
    fn take(&mut self) -> Vec<Waiting<()>> {
        let (mut taken, mut left) = (Vec::new(), STATEMENT_STEPS);
        for _ in 0..self.tenants.len() {
            let Some(mut line) = self.tenants.pop_front() else { break };
            let (before, mut turn) = (taken.len(), TURN_STEPS.min(left));
            while let Some(next) = line.events.front()
                && taken.len() < BATCH_MAX
                && next.steps <= turn
                && let Some(Judged { waiting, steps }) = line.events.pop_front()
            {
                line.bytes -= waiting.event.payload.len();
                if !waiting.is_abandoned() {
                    (turn, left) = (turn - steps, left - steps);
                    taken.push(waiting);
                }
            }
            if line.events.is_empty() {
                continue;
            }
            if taken.len() == before {
                // No room was left for it: it is the first the next time.
                self.tenants.push_front(line);
                break;
            }
            self.tenants.push_back(line);
        }
        taken
    }
}

/// Works until the queue is closed and empty.
pub(super) async fn run(queue: &FairQueue, flusher: &Flusher) {
    while let Some(batch) = queue.take().await {
        let (began, written) = (Instant::now(), batch.len());
        // Their tenants' filters are heavier than they were when their key was looked up.
        for waiting in plain::flush(flusher, Filters::Judged, batch).await {
            queue.put(Waiting { filter_weight: None, ..waiting });
        }
        if written > 0 {
            METRICS.filtered.note(written, began.elapsed(), queue.length());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use chrono::DateTime;
    use tokio::sync::{Semaphore, oneshot};
    use trunkline_domain::{EventId, Lane, NewEvent};

    use super::*;
    use crate::ingest::reply::{Answer, Reply};

    type Answered = oneshot::Receiver<Answer>;

    fn waiting(tenant: &str, payload: &'static str, filter_weight: Option<u64>) -> (Waiting<()>, Answered) {
        let tenant_id: TenantId = tenant.parse().unwrap();
        let created_at = DateTime::UNIX_EPOCH;
        let event = NewEvent {
            lane: Lane::new(1).unwrap(),
            tenant_id,
            event_id: EventId::mint(created_at, 0),
            event_type: None,
            created_at,
            deliver_at: None,
            ordering_key: None,
            traceparent: None,
            is_judged: true,
            payload: Bytes::from_static(payload.as_bytes()),
            payload_sha256: [0; 32],
        };
        let _bytes = Arc::new(Semaphore::new(1)).try_acquire_many_owned(0).unwrap();
        let (reply, answered) = Reply::expected();
        (Waiting { event, filter_weight, key: (), since: Instant::now(), reply, _bytes }, answered)
    }

    /// A weight with which `{}` takes as many steps as an event may.
    const DEAR: u64 = payload::STEPS_MAX / payload::DEPTH_MAX as u64;

    async fn tenants_of(queue: &FairQueue) -> Vec<String> {
        let taken = queue.take().await.unwrap();
        taken.into_iter().map(|one| one.event.tenant_id.as_str().to_owned()).collect()
    }

    #[tokio::test]
    async fn a_tenant_whose_events_are_dear_waits_for_its_own_and_delays_nobody() {
        let queue = FairQueue::default();
        let mut answers = Vec::new();
        let mut put = |tenant: &str, weight: u64| {
            let (one, answer) = waiting(tenant, "{}", Some(weight));
            answers.push(answer);
            queue.put(one);
        };
        for _ in 0..3 {
            put("dear", DEAR);
        }
        for _ in 0..3 {
            put("cheap", 3);
        }
        assert_eq!(tenants_of(&queue).await, ["dear", "cheap", "cheap", "cheap"]);
        put("cheap", 3);
        assert_eq!(tenants_of(&queue).await, ["dear", "cheap"]);
        assert_eq!(tenants_of(&queue).await, ["dear"]);
        queue.close();
        assert!(queue.take().await.is_none());
    }

    #[tokio::test]
    async fn a_statement_has_a_bound_and_who_found_no_room_is_first_in_the_next() {
        let queue = FairQueue::default();
        let mut answers = Vec::new();
        for tenant in ["t-a", "t-b", "t-c", "t-d", "t-e"] {
            for _ in 0..2 {
                let (one, answer) = waiting(tenant, "{}", Some(DEAR));
                answers.push(answer);
                queue.put(one);
            }
        }
        assert_eq!(tenants_of(&queue).await, ["t-a", "t-b", "t-c", "t-d"]);
        assert_eq!(tenants_of(&queue).await, ["t-e", "t-a", "t-b", "t-c"]);
        assert_eq!(tenants_of(&queue).await, ["t-d", "t-e"]);
    }

    #[tokio::test]
    async fn a_tenant_fills_its_own_line_only_and_who_went_away_is_not_written() {
        let queue = FairQueue::default();
        let mut answers = Vec::new();
        for _ in 0..WAITING_MAX {
            let (one, answer) = waiting("many", "{}", Some(1));
            answers.push(answer);
            queue.put(one);
        }
        let (one_more, refused) = waiting("many", "{}", None);
        queue.put(one_more);
        assert_eq!(refused.await, Ok(Err(NotStored::Overloaded)));
        let (other, answer) = waiting("other", "{}", Some(1));
        queue.put(other);
        assert_eq!(queue.length(), WAITING_MAX + 1);
        answers.clear();
        drop(answer);
        assert!(queue.take().await.unwrap().is_empty());
    }
}
