//! Claims: each delivery once, the longest due first, and none that is not allowed.

use chrono::{DateTime, Duration, Utc};
use trunkline_domain::EventId;
use trunkline_domain::Lane;
use trunkline_store::deliveries::{
    ClaimTerms, Claimed, GivenBack, Lease, Places, Wanted, active_endpoints, claim, give_back, oldest_open,
};
use trunkline_store::events::IdRange;
use trunkline_store::{Connection, time};
use trunkline_testkit::{SeededTenant, TestDatabase, publish, seed_tenant, settings};

async fn seeded() -> (TestDatabase, SeededTenant) {
    let database = TestDatabase::new().await;
    let acme = seed_tenant(&database, &settings(&database), "acme", "http://127.0.0.1:9/").await;
    (database, acme)
}

fn wanted(tenant: &SeededTenant, deliveries_max: u32) -> Wanted {
    Wanted {
        lane: tenant.lane,
        endpoint_id: tenant.endpoint_id,
        deliveries_max,
        only_expedited: false,
        due_from: DateTime::UNIX_EPOCH,
    }
}

fn terms(lease: i64, now: DateTime<Utc>) -> ClaimTerms<'static> {
    let leased_until = now + Duration::seconds(30);
    ClaimTerms { lease: Lease(lease), now, leased_until, range: IdRange::ALL, dead: &[] }
}

async fn take(connection: &mut Connection, one: Wanted, lease: i64, now: DateTime<Utc>) -> Vec<Claimed> {
    claim(connection, &[one], terms(lease, now)).await.unwrap()
}

fn ids(claimed: &[Claimed]) -> Vec<EventId> {
    claimed.iter().map(|one| one.key.event_id).collect()
}

#[tokio::test]
async fn the_longest_due_come_first_and_none_twice() {
    let (database, acme) = seeded().await;
    let mut published = Vec::new();
    for _ in 0..5 {
        published.push(publish(&database, &acme, r#"{"n":1}"#).await);
    }
    let mut connection = database.connect().await;
    let now = time::now(&mut connection).await.unwrap();
    let mut first = ids(&take(&mut connection, wanted(&acme, 3), 1, now).await);
    first.sort();
    assert_eq!(first, published[..3]);
    let mut rest = ids(&take(&mut connection, wanted(&acme, 100), 2, now).await);
    rest.sort();
    assert_eq!(rest, published[3..]);
    assert!(take(&mut connection, wanted(&acme, 100), 3, now).await.is_empty());
}

#[tokio::test]
async fn a_claim_brings_all_that_an_attempt_needs() {
    let (database, acme) = seeded().await;
    let payload = r#"{"exact":  1.0e+2}"#;
    publish(&database, &acme, payload).await;
    let mut connection = database.connect().await;
    let now = time::now(&mut connection).await.unwrap();
    let one = take(&mut connection, wanted(&acme, 1), 1, now).await.remove(0);
    assert_eq!((one.attempt, one.cycle_attempt), (1, 1));
    assert_eq!(one.payload.unwrap(), payload.as_bytes());
    assert_eq!(one.event_type.unwrap().as_str(), "test.happened");
}

#[tokio::test]
async fn rows_that_another_claim_holds_are_skipped_not_waited_for() {
    let (database, acme) = seeded().await;
    publish(&database, &acme, "{}").await;
    let free = publish(&database, &acme, "{}").await;
    let mut holder = database.connect().await;
    trunkline_testkit::run(
        &mut holder,
        "BEGIN; SELECT FROM trunkline.deliveries ORDER BY due_at LIMIT 1 FOR UPDATE",
    )
    .await;
    let mut connection = database.connect().await;
    let now = time::now(&mut connection).await.unwrap();
    assert_eq!(ids(&take(&mut connection, wanted(&acme, 10), 1, now).await), [free]);
}

#[tokio::test]
async fn what_is_not_due_or_only_expedited_is_left() {
    let (database, acme) = seeded().await;
    let event_id = publish(&database, &acme, "{}").await;
    let mut connection = database.connect().await;
    let now = time::now(&mut connection).await.unwrap();
    assert!(
        take(&mut connection, wanted(&acme, 1), 1, now - Duration::minutes(1)).await.is_empty(),
        "not due yet"
    );
    let paused = Wanted { only_expedited: true, ..wanted(&acme, 1) };
    assert!(take(&mut connection, paused, 1, now).await.is_empty(), "not expedited");
    database.execute("UPDATE trunkline.deliveries SET expedited = true").await;
    assert_eq!(ids(&take(&mut connection, paused, 1, now).await), [event_id]);
}

#[tokio::test]
async fn a_lease_that_ran_out_is_taken_over_and_its_attempt_told() {
    let (database, acme) = seeded().await;
    publish(&database, &acme, "{}").await;
    let mut connection = database.connect().await;
    let now = time::now(&mut connection).await.unwrap();
    assert_eq!(take(&mut connection, wanted(&acme, 1), 1, now).await.len(), 1);
    let later = now + Duration::seconds(31);
    let again = take(&mut connection, wanted(&acme, 1), 2, later).await;
    assert_eq!((again[0].attempt, again[0].cycle_attempt), (2, 2), "the lost attempt counts");
    let told = "SELECT string_agg(attempt || ' ' || outcome, ',') FROM trunkline.attempts";
    assert_eq!(database.text(told).await, "1 abandoned");
    let started = "SELECT floor(extract(epoch FROM started_at))::bigint FROM trunkline.attempts";
    assert_eq!(database.text(started).await, now.timestamp().to_string());
    assert!(!again[0].lost_again, "one worker was lost");
    let later = later + Duration::seconds(31);
    let again = take(&mut connection, wanted(&acme, 1), 3, later).await;
    assert_eq!((again[0].attempt, again[0].lost_again), (3, true));
}

#[tokio::test]
async fn what_is_given_back_was_never_claimed() {
    let (database, acme) = seeded().await;
    publish(&database, &acme, "{}").await;
    let mut connection = database.connect().await;
    let now = time::now(&mut connection).await.unwrap();
    let one = take(&mut connection, wanted(&acme, 1), 1, now).await.remove(0);
    let back = |lease, retry_at| [GivenBack { key: one.key.clone(), lease: Lease(lease), retry_at }];
    assert_eq!(give_back(&mut connection, &back(99, None)).await.unwrap(), 0, "only the holder gives back");
    assert_eq!(give_back(&mut connection, &back(1, None)).await.unwrap(), 1);
    let again = take(&mut connection, wanted(&acme, 1), 2, now).await.remove(0);
    assert_eq!((again.attempt, again.cycle_attempt), (1, 1));
    let later = now + Duration::seconds(60);
    assert_eq!(give_back(&mut connection, &back(2, Some(later))).await.unwrap(), 1);
    assert_eq!(take(&mut connection, wanted(&acme, 1), 3, now).await.len(), 0, "it waits");
    assert_eq!(take(&mut connection, wanted(&acme, 1), 3, later).await.len(), 1);
}

#[tokio::test]
async fn a_look_lists_each_endpoint_once_and_goes_on_where_it_stopped() {
    let (database, acme) = seeded().await;
    let mut tenants = vec![acme];
    for name in ["globex", "initech", "umbrella"] {
        tenants.push(seed_tenant(&database, &settings(&database), name, "http://127.0.0.1:9/").await);
    }
    for tenant in &tenants {
        for _ in 0..3 {
            publish(&database, tenant, "{}").await;
        }
    }
    let mut connection = database.connect().await;
    let lanes: Vec<_> = Lane::all().collect();
    let (mut seen, mut places) = (Vec::new(), Places::new());
    loop {
        let page = active_endpoints(&mut connection, &lanes, &places, IdRange::ALL, 2).await.unwrap();
        if page.is_empty() {
            break;
        }
        places.extend(page.iter().map(|one| (one.lane, one.endpoint_id)));
        seen.extend(page.into_iter().map(|one| one.tenant_id.to_string()));
    }
    seen.sort();
    assert_eq!(seen, ["acme", "globex", "initech", "umbrella"]);
}

#[tokio::test]
async fn a_look_sees_only_the_lanes_it_names() {
    let (database, acme) = seeded().await;
    publish(&database, &acme, "{}").await;
    let mut connection = database.connect().await;
    let others: Vec<_> = Lane::all().filter(|lane| *lane != acme.lane).collect();
    for (lanes, count) in [(others, 0), (vec![acme.lane], 1)] {
        let found =
            active_endpoints(&mut connection, &lanes, &Places::new(), IdRange::ALL, 10).await.unwrap();
        assert_eq!(found.len(), count);
    }
}

#[tokio::test]
async fn what_a_dead_worker_holds_is_taken_over_before_its_lease_ends() {
    let (database, acme) = seeded().await;
    publish(&database, &acme, "{}").await;
    let mut connection = database.connect().await;
    let now = time::now(&mut connection).await.unwrap();
    let lease_of = |worker, random| Lease::of(worker, random).0;
    assert_eq!(take(&mut connection, wanted(&acme, 1), lease_of(-7, u32::MAX), now).await.len(), 1);
    let others = ClaimTerms { dead: &[7, 8], ..terms(lease_of(1, 1), now) };
    assert!(claim(&mut connection, &[wanted(&acme, 1)], others).await.unwrap().is_empty());
    let heirs = ClaimTerms { dead: &[8, -7], ..terms(lease_of(1, 2), now) };
    let taken = claim(&mut connection, &[wanted(&acme, 1)], heirs).await.unwrap();
    assert_eq!(taken[0].attempt, 2, "the lost attempt counts");
    assert_eq!(database.text("SELECT outcome FROM trunkline.attempts").await, "abandoned");
}

#[tokio::test]
async fn the_oldest_open_event_bounds_what_is_read() {
    let (database, acme) = seeded().await;
    let mut connection = database.connect().await;
    assert_eq!(oldest_open(&mut connection).await.unwrap(), None);
    let event_id = publish(&database, &acme, "{}").await;
    let oldest = oldest_open(&mut connection).await.unwrap().unwrap();
    assert!(oldest <= event_id.as_uuid());
    database
        .execute("UPDATE trunkline.deliveries SET status = 'CANCELLED', due_at = NULL, finished_at = now()")
        .await;
    assert_eq!(oldest_open(&mut connection).await.unwrap(), None);
}
