//! One attempt, from the claim to the verdict. Nothing here holds a database connection: no transaction can be open
//! while bytes travel to an endpoint.

mod connect;
mod connection;
mod failure;
mod idle;
mod proxy;
mod request;
mod response_headers;
mod send;
mod span;
mod target;
mod told;
mod wire;

use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};
use trunkline_boot::Clock;
use trunkline_domain::AttemptOutcome;
use trunkline_domain::outcome::{Answer, Consequence, classify};
use trunkline_store::deliveries::{Claimed, EndedAttempt, NextStep};

use crate::roster::{BreakerNews, Callable};

pub(crate) use failure::Failure;
pub(crate) use send::{Sender, SenderError};
pub(crate) use span::{conclude, span_of};
pub(crate) use target::{Target, TargetRefused};

/// An attempt that ended, and what it means for its endpoint.
pub(crate) struct Ended {
    pub(crate) attempt: EndedAttempt,
    pub(crate) callable: Arc<Callable>,
    pub(crate) consequence: Consequence,
    /// What it did to the endpoint's breaker, which the engine knows once it has heard of it.
    pub(crate) breaker: Option<BreakerNews>,
    /// When the claim runs out: writing after that is pointless.
    pub(crate) leased_until: DateTime<Utc>,
}

/// Makes the call and judges it. Always comes to an end, within the endpoint's time-out.
pub(crate) async fn make(
    claimed: &Claimed,
    callable: &Arc<Callable>,
    sender: &Sender,
    clock: &Clock,
    leased_until: DateTime<Utc>,
) -> Ended {
    let started_at = clock.now();
    let stopwatch = Instant::now();
    let result = match claimed.payload.clone() {
        None => Err(Failure::give_up("the payload was erased; there is nothing to send")),
        Some(_) if over_budget(claimed, callable) => {
            Err(Failure::give_up("every attempt of the budget was lost with its worker"))
        }
        Some(_) if callable.secrets.is_empty() => Err(Failure::internal("no signing secret could be opened")),
        Some(payload) => sender.send(claimed, callable, payload).await,
    };
    let duration_ms = u32::try_from(stopwatch.elapsed().as_millis()).unwrap_or(u32::MAX);
    let now = clock.now();
    let answer = match &result {
        Ok(answer) => Answer::Status { code: answer.status, retry_after: answer.retry_after.as_deref() },
        Err(failure) => Answer::None(failure.outcome),
    };
    let verdict = classify(answer, now);
    let hint = match verdict.consequence {
        Consequence::Pause(wait) => Some(wait),
        Consequence::Disable | Consequence::None => None,
    };
    let gives_up = matches!(&result, Err(failure) if failure.is_final);
    let next = match verdict.outcome {
        AttemptOutcome::Succeeded => NextStep::Delivered,
        _ if gives_up => NextStep::GiveUp,
        _ => callable
            .retry
            .next_attempt(claimed.cycle_attempt as usize, trunkline_boot::random::random_unit(), hint)
            .map_or(NextStep::GiveUp, |wait| NextStep::RetryAt(now + wait)),
    };
    let (status_code, error, response_excerpt, response_headers) = match result {
        Ok(answer) => {
            let error = request::describe_rejection(answer.status);
            (Some(answer.status), error, answer.excerpt, answer.headers)
        }
        Err(failure) => (None, Some(failure.reason), Vec::new(), None),
    };
    Ended {
        attempt: EndedAttempt {
            key: claimed.key.clone(),
            lease: claimed.lease,
            attempt: claimed.attempt,
            started_at,
            duration_ms,
            status_code,
            outcome: verdict.outcome,
            error,
            response_excerpt,
            response_headers,
            url: callable.url.clone(),
            next,
            ordering_key: claimed.ordering_key.clone(),
        },
        callable: callable.clone(),
        consequence: verdict.consequence,
        breaker: None,
        leased_until,
    }
}

/// What is recorded of an attempt whose code panicked: the delivery must not take its worker down, nor be lost.
pub(crate) fn after_panic(
    claimed: &Claimed,
    callable: &Arc<Callable>,
    clock: &Clock,
    leased_until: DateTime<Utc>,
) -> Ended {
    let now = clock.now();
    let chance = trunkline_boot::random::random_unit();
    let next = callable.retry.next_attempt(claimed.cycle_attempt as usize, chance, None);
    Ended {
        attempt: EndedAttempt {
            key: claimed.key.clone(),
            lease: claimed.lease,
            attempt: claimed.attempt,
            started_at: now,
            duration_ms: 0,
            status_code: None,
            outcome: AttemptOutcome::InternalError,
            error: Some(
                "the attempt failed inside Trunkline; its operator finds the place in the worker's log"
                    .to_owned(),
            ),
            response_excerpt: Vec::new(),
            response_headers: None,
            url: callable.url.clone(),
            next: next.map_or(NextStep::GiveUp, |wait| NextStep::RetryAt(now + wait)),
            ordering_key: claimed.ordering_key.clone(),
        },
        callable: callable.clone(),
        consequence: Consequence::None,
        breaker: None,
        leased_until,
    }
}

/// More attempts were started in this cycle than it has: the ones before were claimed and never ended.
fn over_budget(claimed: &Claimed, callable: &Callable) -> bool {
    claimed.cycle_attempt as usize > callable.retry.budget()
}
