//! What Trunkline tells a tenant about its endpoints: that one was disabled, keeps failing, works again, or that deliveries
//! were given up. Each is an ordinary event with one delivery, to the tenant's operational endpoint if it has one.
//!
//! A task of its own writes them, so that outcomes never wait for news. Where nothing happens it sleeps.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio::time::Instant;
use trunkline_boot::Clock;
use trunkline_boot::random::random_bytes;
use trunkline_domain::{EndpointId, EventId, TenantId};
use trunkline_store::events::{OperationalEvent, publish_operational};
use trunkline_store::pool::within;
use trunkline_store::wake::{self, Wake};
use trunkline_store::{Pool, StoreError};

use crate::metrics::METRICS;

/// News that wait to be written; beyond them more are dropped and counted.
const WAITING_MAX: usize = 1_024;

/// Dead letters of one endpoint are told of at most this often.
const EXHAUSTED_GAP: Duration = Duration::from_secs(60);

/// Endpoints whose dead letters are gathered at one time.
const GATHERED_MAX: usize = 10_000;

/// Events that are named when dead letters are told of; the others are counted.
const NAMED_MAX: usize = 10;

/// How long an event may take to be written. It is not worth delaying a stop.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long a stop waits for what was handed in and gathered to be told.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Something to tell a tenant about an endpoint.
#[derive(Debug)]
pub(crate) struct News {
    pub(crate) tenant_id: TenantId,
    pub(crate) about: EndpointId,
    pub(crate) fact: Fact,
}

/// What happened.
#[derive(Debug)]
pub(crate) enum Fact {
    /// It answered 410: `gone`.
    Gone,
    /// It failed for days: `failing`.
    FailedForDays { failing_since: DateTime<Utc>, failures: u32 },
    /// Its breaker opened, for the first time since its last success.
    Failing { open_until: DateTime<Utc>, failing_since: Option<DateTime<Utc>> },
    /// Its breaker closed.
    Recovered { failing_since: Option<DateTime<Utc>> },
    /// Deliveries waited past the retention of their events and were cancelled.
    Expired { count: u64 },
    /// A delivery used up its budget.
    Exhausted { event_id: EventId },
}

/// Where news are handed in; never waits.
#[derive(Clone)]
pub(crate) struct Herald(mpsc::Sender<News>);

impl Herald {
    pub(crate) fn tell(&self, news: News) {
        if self.0.try_send(news).is_err() {
            METRICS.operational_events_dropped.increment(1);
        }
    }
}

/// Writes what is handed in.
pub(crate) struct Crier {
    pool: Pool,
    clock: Clock,
    news: mpsc::Receiver<News>,
    gathered: HashMap<EndpointId, Exhausted>,
}

/// Dead letters of one endpoint that are not told of yet.
struct Exhausted {
    tenant_id: TenantId,
    count: u64,
    named: Vec<EventId>,
    next_at: Instant,
}

impl Crier {
    pub(crate) fn new(pool: Pool, clock: Clock) -> (Herald, Self) {
        let (sender, news) = mpsc::channel(WAITING_MAX);
        (Herald(sender), Self { pool, clock, news, gathered: HashMap::new() })
    }

    /// Tells until every herald is gone, and then what is left.
    pub(crate) async fn run(&mut self) {
        loop {
            let next_at = self.gathered.values().map(|one| one.next_at).min();
            let due = async {
                match next_at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                news = self.news.recv() => match news {
                    Some(news) => self.hear(news).await,
                    None => break,
                },
                () = due => {}
            }
            if self.news.is_closed() {
                break;
            }
            self.tell_exhausted(Instant::now()).await;
        }
        let _ = tokio::time::timeout(LAST_WORDS, self.say_last_words()).await;
    }

    /// What was handed in before every herald was gone, and what is gathered.
    async fn say_last_words(&mut self) {
        while let Some(news) = self.news.recv().await {
            self.hear(news).await;
        }
        self.tell_exhausted(Instant::now() + EXHAUSTED_GAP).await;
    }

    async fn hear(&mut self, news: News) {
        let Fact::Exhausted { event_id } = news.fact else {
            return self.publish(&news.tenant_id, news.about, self.describe(&news)).await;
        };
        if self.gathered.len() >= GATHERED_MAX && !self.gathered.contains_key(&news.about) {
            return METRICS.operational_events_dropped.increment(1);
        }
        let gathered = self.gathered.entry(news.about).or_insert_with(|| Exhausted {
            tenant_id: news.tenant_id,
            count: 0,
            named: Vec::new(),
            next_at: Instant::now(),
        });
        gathered.count += 1;
        if gathered.named.len() < NAMED_MAX {
            gathered.named.push(event_id);
        }
    }

    /// Tells of the endpoints whose minute is over, and forgets those that had no more dead letters in it.
    async fn tell_exhausted(&mut self, now: Instant) {
        let due: Vec<EndpointId> =
            self.gathered.iter().filter(|(_, one)| one.next_at <= now).map(|(id, _)| *id).collect();
        for about in due {
            let Some(one) = self.gathered.get_mut(&about) else { continue };
            let (count, named) = (std::mem::take(&mut one.count), std::mem::take(&mut one.named));
            one.next_at = now + EXHAUSTED_GAP;
            if count == 0 {
                self.gathered.remove(&about);
                continue;
            }
            let tenant_id = one.tenant_id.clone();
            let facts = json!({
                "type": "delivery.exhausted",
                "endpoint_id": about,
                "at": self.clock.now(),
                "count": count,
                "event_ids": named,
            });
            self.publish(&tenant_id, about, ("delivery.exhausted", facts)).await;
        }
    }

    fn describe(&self, news: &News) -> (&'static str, Value) {
        let (event_type, mut facts) = match &news.fact {
            Fact::Gone => ("endpoint.disabled", json!({ "reason": "gone" })),
            Fact::FailedForDays { failing_since, failures } => (
                "endpoint.disabled",
                json!({ "reason": "failing", "failing_since": failing_since, "failures": failures }),
            ),
            Fact::Failing { open_until, failing_since } => (
                "endpoint.failing",
                json!({ "breaker_open_until": open_until, "failing_since": failing_since }),
            ),
            Fact::Recovered { failing_since } => {
                ("endpoint.recovered", json!({ "failing_since": failing_since }))
            }
            Fact::Expired { count } => ("delivery.expired", json!({ "count": count })),
            Fact::Exhausted { event_id } => ("delivery.exhausted", json!({ "event_ids": [event_id] })),
        };
        facts["type"] = json!(event_type);
        facts["endpoint_id"] = json!(news.about);
        facts["at"] = json!(self.clock.now());
        (event_type, facts)
    }

    /// Writes an event and wakes whoever delivers it. A failure is told and passed over: the endpoint's row says the same.
    async fn publish(
        &self,
        tenant_id: &TenantId,
        about: EndpointId,
        (event_type, facts): (&'static str, Value),
    ) {
        let created_at = self.clock.now();
        let payload = Bytes::from(facts.to_string());
        let event = OperationalEvent {
            tenant_id: tenant_id.clone(),
            about,
            event_id: EventId::mint(created_at, u64::from_ne_bytes(random_bytes())),
            event_type,
            payload_sha256: Sha256::digest(&payload).into(),
            payload,
            created_at,
        };
        if let Err(error) = within(PATIENCE, self.write(&event)).await {
            tracing::warn!(%error, tenant.id = %tenant_id, endpoint.id = %about, event.kind = event_type, "an operational event could not be written");
        }
    }

    async fn write(&self, event: &OperationalEvent) -> Result<(), StoreError> {
        let mut connection = self.pool.acquire().await?;
        if let Some(hint) = publish_operational(&mut connection, event).await? {
            METRICS.count_operational_event(event.event_type);
            wake::notify(&mut connection, &Wake::Endpoints(vec![hint])).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use trunkline_store::{Purpose, pool};

    use super::*;

    /// A stop waits for the last of them no longer than for one.
    #[tokio::test]
    async fn what_cannot_be_told_delays_no_stop() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("postgres://nobody@{}/none", silent.local_addr().unwrap());
        let (herald, mut crier) = Crier::new(pool::open(&url, Purpose::Engine, 1).unwrap(), Clock::new());
        for _ in 0..100 {
            let about = EndpointId::mint(DateTime::UNIX_EPOCH, u64::from_ne_bytes(random_bytes()));
            herald.tell(News { tenant_id: "acme".parse().unwrap(), about, fact: Fact::Gone });
        }
        drop(herald);
        let began = Instant::now();
        crier.run().await;
        assert!(began.elapsed() < LAST_WORDS + PATIENCE, "{:?}", began.elapsed());
    }
}
