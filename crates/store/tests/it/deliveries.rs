//! Outcomes, retries and cancels: fenced, conditional, and counted.

use chrono::Duration;
use trunkline_domain::{AttemptOutcome, EventId};
use trunkline_store::deliveries::{
    ClaimTerms, Claimed, Cursor, DeadLetterFilter, EndedAttempt, Lease, NextStep, Reopened, Wanted, cancel,
    claim, dead_letters, purge, record, reopen, requeue,
};
use trunkline_store::events::IdRange;
use trunkline_store::{Connection, time};
use trunkline_testkit::{SeededTenant, TestDatabase, publish, seed_tenant, settings};

struct Scene {
    database: TestDatabase,
    connection: Connection,
    acme: SeededTenant,
    now: chrono::DateTime<chrono::Utc>,
}

impl Scene {
    async fn new() -> Self {
        let database = TestDatabase::new().await;
        let acme = seed_tenant(&database, &settings(&database), "acme", "http://127.0.0.1:9/").await;
        let mut connection = database.connect().await;
        let now = time::now(&mut connection).await.unwrap();
        Self { database, connection, acme, now }
    }

    /// Publishes an event and claims its delivery.
    async fn in_flight(&mut self, lease: i64) -> Claimed {
        publish(&self.database, &self.acme, "{}").await;
        self.now = time::now(&mut self.connection).await.unwrap();
        self.claim_at(lease, self.now).await
    }

    /// Claims the one delivery that is due then.
    async fn claim_at(&mut self, lease: i64, now: chrono::DateTime<chrono::Utc>) -> Claimed {
        let wanted = Wanted {
            lane: self.acme.lane,
            endpoint_id: self.acme.endpoint_id,
            deliveries_max: 1,
            only_expedited: false,
            due_from: chrono::DateTime::UNIX_EPOCH,
        };
        let leased_until = now + Duration::seconds(30);
        let terms = ClaimTerms { lease: Lease(lease), now, leased_until, range: IdRange::ALL, dead: &[] };
        claim(&mut self.connection, &[wanted], terms).await.unwrap().remove(0)
    }

    async fn end(&mut self, claimed: &Claimed, next: NextStep) -> usize {
        let delivered = next == NextStep::Delivered;
        let ended = EndedAttempt {
            key: claimed.key.clone(),
            lease: claimed.lease,
            attempt: claimed.attempt,
            started_at: self.now,
            duration_ms: 12,
            status_code: Some(if delivered { 200 } else { 500 }),
            outcome: if delivered { AttemptOutcome::Succeeded } else { AttemptOutcome::Rejected },
            error: (!delivered).then(|| "the endpoint answered 500".to_owned()),
            response_excerpt: b"\xff\0".to_vec(),
            response_headers: None,
            url: "http://127.0.0.1:9/".to_owned(),
            next,
            ordering_key: None,
        };
        record(&mut self.connection, &[&ended], "test:1", self.now).await.unwrap().len()
    }

    async fn dead_letter(&mut self) -> EventId {
        let claimed = self.in_flight(1).await;
        assert_eq!(self.end(&claimed, NextStep::GiveUp).await, 1);
        claimed.key.event_id
    }

    async fn statuses(&self) -> String {
        self.database
            .text("SELECT string_agg(status::text, ' ' ORDER BY event_id) FROM trunkline.deliveries")
            .await
    }

    async fn outcomes(&self) -> String {
        self.database
            .text("SELECT string_agg(outcome::text, ' ' ORDER BY event_id, attempt) FROM trunkline.attempts")
            .await
    }
}

#[tokio::test]
async fn an_outcome_is_written_once_and_only_under_its_lease() {
    let mut scene = Scene::new().await;
    let claimed = scene.in_flight(1).await;
    let stolen = Claimed { lease: Lease(2), ..claimed.clone() };
    assert_eq!(scene.end(&stolen, NextStep::Delivered).await, 0);
    assert_eq!((scene.statuses().await, scene.outcomes().await), ("PENDING".into(), String::new()));
    assert_eq!(scene.end(&claimed, NextStep::Delivered).await, 1);
    assert_eq!(scene.end(&claimed, NextStep::GiveUp).await, 0, "the lease is spent");
    assert_eq!((scene.statuses().await, scene.outcomes().await), ("DELIVERED".into(), "succeeded".into()));
}

#[tokio::test]
async fn a_retry_reopens_what_failed_and_only_that() {
    let mut scene = Scene::new().await;
    let event_id = scene.dead_letter().await;
    let (lane, tenant, now) = (scene.acme.lane, scene.acme.tenant_id.clone(), scene.now);
    assert_eq!(
        reopen(&mut scene.connection, lane, &tenant, event_id, None, now).await.unwrap(),
        Reopened::Deliveries(1)
    );
    assert_eq!(scene.statuses().await, "PENDING");
    assert_eq!(
        reopen(&mut scene.connection, lane, &tenant, event_id, None, now).await.unwrap(),
        Reopened::NoneFailed
    );
}

#[tokio::test]
async fn of_two_retries_at_once_one_wins() {
    let mut scene = Scene::new().await;
    let event_id = scene.dead_letter().await;
    let mut other = scene.database.connect().await;
    let (lane, tenant, now) = (scene.acme.lane, &scene.acme.tenant_id, scene.now);
    let (one, two) = tokio::join!(
        reopen(&mut scene.connection, lane, tenant, event_id, None, now),
        reopen(&mut other, lane, tenant, event_id, None, now),
    );
    let mut results = [one.unwrap(), two.unwrap()];
    results.sort_by_key(|result| *result == Reopened::NoneFailed);
    assert_eq!(results, [Reopened::Deliveries(1), Reopened::NoneFailed]);
}

#[tokio::test]
async fn an_erased_payload_is_not_sent_again() {
    let mut scene = Scene::new().await;
    let event_id = scene.dead_letter().await;
    scene.database.execute("UPDATE trunkline.payloads SET payload = NULL").await;
    let (lane, tenant, now) = (scene.acme.lane, scene.acme.tenant_id.clone(), scene.now);
    assert_eq!(
        reopen(&mut scene.connection, lane, &tenant, event_id, None, now).await.unwrap(),
        Reopened::PayloadGone
    );
    assert_eq!(scene.statuses().await, "FAILED");
}

#[tokio::test]
async fn a_retry_in_the_middle_of_a_retry_takes_the_lease_away() {
    let mut scene = Scene::new().await;
    let first = scene.in_flight(1).await;
    let at_once = scene.now;
    scene.end(&first, NextStep::RetryAt(at_once)).await;
    let second = scene.claim_at(2, at_once).await;
    let (lane, tenant) = (scene.acme.lane, scene.acme.tenant_id.clone());
    let event_id = first.key.event_id;
    assert_eq!(
        reopen(&mut scene.connection, lane, &tenant, event_id, None, at_once).await.unwrap(),
        Reopened::Deliveries(1)
    );
    assert_eq!(scene.end(&second, NextStep::Delivered).await, 0);
    assert_eq!(
        (scene.statuses().await, scene.outcomes().await),
        ("PENDING".into(), "rejected superseded".into())
    );
    let counts = "SELECT attempts || ' ' || cycle_attempts FROM trunkline.deliveries";
    assert_eq!(scene.database.text(counts).await, "2 0");
}

#[tokio::test]
async fn a_cancel_stops_what_is_open_and_leaves_dead_letters() {
    let mut scene = Scene::new().await;
    let dead = scene.dead_letter().await;
    let open = publish(&scene.database, &scene.acme, "{}").await;
    let (lane, tenant, now) = (scene.acme.lane, scene.acme.tenant_id.clone(), scene.now);
    assert_eq!(cancel(&mut scene.connection, lane, &tenant, dead, now).await.unwrap(), 0);
    assert_eq!(cancel(&mut scene.connection, lane, &tenant, open, now).await.unwrap(), 1);
    assert_eq!(cancel(&mut scene.connection, lane, &tenant, open, now).await.unwrap(), 0);
    assert_eq!(scene.statuses().await, "FAILED CANCELLED");
}

#[tokio::test]
async fn a_dead_letter_whose_event_is_gone_does_not_make_its_page_the_last() {
    let mut scene = Scene::new().await;
    let (kept, gone) = (scene.dead_letter().await, scene.dead_letter().await);
    scene
        .database
        .execute(&format!("DELETE FROM trunkline.events WHERE event_id = '{}'", gone.as_uuid()))
        .await;
    let (lane, tenant_id) = (scene.acme.lane, scene.acme.tenant_id.clone());
    let filter = DeadLetterFilter::default();
    let page = dead_letters(&mut scene.connection, lane, &tenant_id, &filter, Cursor::TOP, 2).await.unwrap();
    let page: Vec<_> = page.iter().map(|one| (one.key.event_id, one.matches)).collect();
    assert_eq!(page, [(gone, false), (kept, true)]);
}

#[tokio::test]
async fn another_tenant_reaches_nothing() {
    let mut scene = Scene::new().await;
    let event_id = scene.dead_letter().await;
    let globex =
        seed_tenant(&scene.database, &settings(&scene.database), "globex", "http://127.0.0.1:9/").await;
    let (lane, now) = (scene.acme.lane, scene.now);
    let foreign = &globex.tenant_id;
    assert_eq!(
        reopen(&mut scene.connection, lane, foreign, event_id, None, now).await.unwrap(),
        Reopened::NoneFailed
    );
    assert_eq!(cancel(&mut scene.connection, lane, foreign, event_id, now).await.unwrap(), 0);
    let found = trunkline_store::events::find(&mut scene.connection, lane, foreign, event_id).await.unwrap();
    assert!(found.is_none());
}

#[tokio::test]
async fn dead_letters_are_listed_requeued_and_purged() {
    let mut scene = Scene::new().await;
    let mut dead = [scene.dead_letter().await, scene.dead_letter().await, scene.dead_letter().await];
    dead.reverse();
    let (lane, tenant, now) = (scene.acme.lane, scene.acme.tenant_id.clone(), scene.now);
    let filter = DeadLetterFilter::default();
    let top = dead_letters(&mut scene.connection, lane, &tenant, &filter, Cursor::TOP, 2).await.unwrap();
    let shown: Vec<_> = top.iter().map(|one| one.key.event_id).collect();
    assert_eq!(shown, dead[..2], "newest first");
    let last = &top[1].key;
    let below = Cursor { event_id: last.event_id.as_uuid(), endpoint_id: last.endpoint_id.as_uuid() };
    let rest = dead_letters(&mut scene.connection, lane, &tenant, &filter, below, 2).await.unwrap();
    assert_eq!(rest.iter().map(|one| one.key.event_id).collect::<Vec<_>>(), dead[2..]);

    let other_type = DeadLetterFilter { event_type: Some("other".parse().unwrap()), ..filter };
    let filtered =
        dead_letters(&mut scene.connection, lane, &tenant, &other_type, Cursor::TOP, 10).await.unwrap();
    assert!(filtered.iter().all(|one| !one.matches));

    assert_eq!(requeue(&mut scene.connection, &[top[0].key.clone()], now).await.unwrap(), 1);
    assert_eq!(requeue(&mut scene.connection, &[top[0].key.clone()], now).await.unwrap(), 0);
    assert_eq!(purge(&mut scene.connection, &[top[1].key.clone()], now).await.unwrap(), 1);
    assert_eq!(scene.statuses().await, "FAILED CANCELLED PENDING");
}
