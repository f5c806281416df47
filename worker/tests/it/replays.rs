//! Replays: made in steps, at their rate, once.

use std::collections::HashMap;

use trunkline_domain::{EndpointId, EventId, EventStatus, ReplayId};
use trunkline_store::replays::{self, NewReplay, ReplaySpec, ReplayState};
use trunkline_store::time;
use trunkline_testkit::{Answer, eventually, seed_endpoint};

use crate::crash::Process;
use crate::house::House;

/// A replay of everything of the last hour, before it is started.
async fn spec(house: &House) -> ReplaySpec {
    let now = time::now(&mut *house.database.borrow().await).await.unwrap();
    ReplaySpec {
        lane: house.acme.lane,
        tenant_id: house.acme.tenant_id.clone(),
        status: None,
        event_type: None,
        endpoint_id: None,
        after: now - chrono::Duration::hours(1),
        before: now,
        to_endpoint_id: None,
    }
}

async fn start(house: &House, spec: &ReplaySpec, rate_per_second: u32) -> ReplayId {
    let mut connection = house.database.borrow().await;
    let created_at = time::now(&mut connection).await.unwrap();
    let replay_id = ReplayId::mint(created_at, 7);
    let new = NewReplay { replay_id, spec, rate_per_second, created_at };
    replays::create(&mut connection, &new).await.unwrap();
    replay_id
}

async fn find(house: &House, replay_id: ReplayId) -> replays::Replay {
    let mut connection = house.database.borrow().await;
    replays::find(&mut connection, &house.acme.tenant_id, replay_id).await.unwrap().unwrap()
}

async fn until_done(house: &House, replay_id: ReplayId) -> replays::Replay {
    eventually("the replay is done", async || {
        let replay = find(house, replay_id).await;
        (replay.state == ReplayState::Done).then_some(replay)
    })
    .await
}

/// Publishes events and lets them end as DELIVERED without a worker.
async fn delivered(house: &House, count: usize) -> Vec<EventId> {
    let mut events = Vec::new();
    for number in 0..count {
        events.push(house.publish(&format!("{{\"number\":{number}}}")).await);
    }
    house
        .database
        .execute(
            "UPDATE trunkline.deliveries SET status = 'DELIVERED', due_at = NULL, attempts = 1, cycle_attempts = 1,
             last_attempt_at = now(), finished_at = now()",
        )
        .await;
    events
}

/// How often each event arrived.
fn arrivals(house: &House) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for one in house.sink.arrivals() {
        *counts.entry(one.header("webhook-id").to_owned()).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn what_was_delivered_is_delivered_again_with_a_fresh_budget() {
    let house = House::new().await;
    let events = delivered(&house, 3).await;
    let replay_id = start(&house, &spec(&house).await, 1_000).await;
    let worker = house.worker().await;
    let replay = until_done(&house, replay_id).await;
    assert_eq!((replay.seen, replay.replayed, replay.payload_gone), (3, 3, 0));
    for event_id in &events {
        eventually("it is delivered again", async || {
            let row = house.row(*event_id).await;
            (row.status == "DELIVERED" && row.attempts == 2).then_some(())
        })
        .await;
    }
    worker.stop().await;
    let counts = arrivals(&house);
    assert_eq!(counts.len(), 3);
    assert!(counts.values().all(|count| *count == 1), "{counts:?}");
}

#[tokio::test]
async fn an_old_event_is_found_though_nothing_as_old_is_open() {
    let house = House::new().await;
    // The first partition starts a day early: an event of yesterday, in a partition of its own.
    let event_id = delivered(&house, 1).await[0];
    let old = EventId::mint(
        time::now(&mut *house.database.borrow().await).await.unwrap() - chrono::Duration::minutes(1_439),
        1,
    );
    for table in ["events", "payloads", "deliveries"] {
        let sql = format!(
            "UPDATE trunkline.{table} SET event_id = '{}' WHERE event_id = '{}'",
            old.as_uuid(),
            event_id.as_uuid()
        );
        house.database.execute(&sql).await;
    }
    house.database.execute("UPDATE trunkline.events SET created_at = now() - interval '1439 minutes'").await;
    let worker = house.worker().await;
    // The engine knows by now what the oldest open event is.
    let fresh = house.publish("{}").await;
    house.until(fresh, "DELIVERED").await;
    let mut spec = spec(&house).await;
    spec.after = spec.before - chrono::Duration::minutes(1_440);
    spec.before -= chrono::Duration::minutes(1_430);
    let replay = until_done(&house, start(&house, &spec, 100).await).await;
    assert_eq!(replay.replayed, 1);
    house.sink.wait_for(2).await;
    worker.stop().await;
    assert_eq!(arrivals(&house)[&old.to_string()], 1);
}

#[tokio::test]
async fn two_workers_make_each_step_once() {
    let house = House::new().await;
    let events = delivered(&house, 1_100).await;
    let replay_id = start(&house, &spec(&house).await, 10_000).await;
    let (one, two) = (house.worker().await, house.worker().await);
    let replay = until_done(&house, replay_id).await;
    assert_eq!((replay.seen, replay.replayed), (1_100, 1_100));
    house.sink.wait_for(events.len()).await;
    one.stop().await;
    two.stop().await;
    let counts = arrivals(&house);
    assert_eq!(counts.len(), events.len());
    assert!(counts.values().all(|count| *count == 1));
}

#[tokio::test]
async fn a_replay_goes_on_where_a_worker_that_was_killed_left_it() {
    let house = House::new().await;
    let events = delivered(&house, 30).await;
    let replay_id = start(&house, &spec(&house).await, 10).await;
    let killed = Process::start(&house);
    eventually("a step was made", async || (find(&house, replay_id).await.replayed > 0).then_some(())).await;
    killed.kill();
    let left = find(&house, replay_id).await;
    assert!(left.replayed < 30 && left.state == ReplayState::Running, "{left:?}");

    let worker = house.worker().await;
    let replay = until_done(&house, replay_id).await;
    assert_eq!((replay.seen, replay.replayed), (30, 30));
    for event_id in &events {
        eventually("it is delivered again", async || {
            (house.row(*event_id).await.status == "DELIVERED").then_some(())
        })
        .await;
    }
    worker.stop().await;
    assert_eq!(arrivals(&house).len(), 30);
}

#[tokio::test]
async fn a_paused_replay_waits_and_a_cancelled_one_ends() {
    let house = House::new().await;
    delivered(&house, 5).await;
    let replay_id = start(&house, &spec(&house).await, 1).await;
    let worker = house.worker().await;
    eventually("a step was made", async || (find(&house, replay_id).await.replayed > 0).then_some(())).await;
    let steer = async |state| {
        let mut connection = house.database.borrow().await;
        let now = time::now(&mut connection).await.unwrap();
        replays::steer(&mut connection, &house.acme.tenant_id, replay_id, state, now).await.unwrap()
    };
    assert!(steer(ReplayState::Paused).await);
    let paused = find(&house, replay_id).await;
    // Another replay of the same worker comes to its end meanwhile: the paused one had its chance.
    let mut other = spec(&house).await;
    other.event_type = Some("another".parse().unwrap());
    until_done(&house, start(&house, &other, 1_000).await).await;
    assert_eq!(find(&house, replay_id).await.replayed, paused.replayed);
    assert!(steer(ReplayState::Running).await);
    eventually("it goes on", async || {
        (find(&house, replay_id).await.replayed > paused.replayed).then_some(())
    })
    .await;
    assert!(steer(ReplayState::Cancelled).await);
    let cancelled = find(&house, replay_id).await;
    assert!(cancelled.finished_at.is_some() && cancelled.replayed < 5, "{cancelled:?}");
    assert!(!steer(ReplayState::Running).await, "the end is the end");
    worker.stop().await;
}

#[tokio::test]
async fn only_what_meets_every_condition_is_made_again() {
    let house = House::new().await;
    let events = delivered(&house, 6).await;
    let set = async |event: EventId, sql: &str| {
        let sql = format!("UPDATE trunkline.{sql} WHERE event_id = '{}'", event.as_uuid());
        house.database.execute(&sql).await;
    };
    set(events[0], "deliveries SET status = 'FAILED'").await;
    set(events[1], "deliveries SET status = 'CANCELLED'").await;
    set(events[2], "events SET type = 'other'").await;
    set(events[3], "payloads SET payload = NULL").await;
    let again = "status = 'FAILED', due_at = now() + interval '1 hour', finished_at = NULL";
    set(events[4], &format!("deliveries SET {again}")).await;
    let base = spec(&house).await;
    let plan = async |spec: &ReplaySpec| {
        let mut connection = house.database.borrow().await;
        let from = EventId::first_at(spec.after).as_uuid();
        let plan = replays::plan(&mut connection, spec, from).await.unwrap();
        assert!(plan.is_last);
        let chosen = plan.events.iter().filter(|one| !one.targets.is_empty() && !one.is_payload_gone);
        chosen.map(|one| events.iter().position(|id| *id == one.event_id).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(plan(&base).await, [0, 1, 2, 5], "what is attempted by itself and what is gone stay");
    let by_status: [(EventStatus, &[usize]); 4] = [
        (EventStatus::Failed, &[0]),
        (EventStatus::Cancelled, &[1]),
        (EventStatus::Delivered, &[2, 5]),
        (EventStatus::Unrouted, &[]),
    ];
    for (status, chosen) in by_status {
        assert_eq!(plan(&ReplaySpec { status: Some(status), ..base.clone() }).await, chosen, "{status:?}");
    }
    let other = ReplaySpec { event_type: Some("other".parse().unwrap()), ..base.clone() };
    assert_eq!(plan(&other).await, [2]);
    let nobody = EndpointId::mint(base.before, 1);
    assert!(plan(&ReplaySpec { endpoint_id: Some(nobody), ..base.clone() }).await.is_empty());
    let own = ReplaySpec { endpoint_id: Some(house.acme.endpoint_id), ..base.clone() };
    assert_eq!(plan(&own).await, [0, 1, 2, 5]);
    let created = async |event: EventId| {
        let sql =
            format!("SELECT created_at::text FROM trunkline.events WHERE event_id = '{}'", event.as_uuid());
        let text = house.database.text(&sql).await.replace(' ', "T");
        // PostgreSQL writes +00 for UTC.
        format!("{text}:00").parse::<chrono::DateTime<chrono::Utc>>().unwrap()
    };
    let between = ReplaySpec { after: created(events[0]).await, before: created(events[5]).await, ..base };
    assert_eq!(plan(&between).await, [1, 2], "both ends are exclusive");
}

#[tokio::test]
async fn events_that_no_endpoint_matched_go_to_those_that_match_now() {
    let house = House::new().await;
    house.database.execute("UPDATE trunkline.endpoints SET event_types = '{nothing}'").await;
    let small = house.publish(r#"{"total":5}"#).await;
    let large = house.publish(r#"{"total":500}"#).await;
    let unjudged = house.publish(r#"{"total":1e1001}"#).await;
    house
        .database
        .execute("UPDATE trunkline.endpoints SET event_types = '{test.*}', payload_filter = '$.total > 100'")
        .await;
    let unrouted = ReplaySpec { status: Some(EventStatus::Unrouted), ..spec(&house).await };
    let worker = house.worker().await;
    let replay = until_done(&house, start(&house, &unrouted, 100).await).await;
    assert_eq!((replay.seen, replay.replayed), (3, 1));
    assert_eq!(house.until(large, "DELIVERED").await.attempts, 1);
    let routed = "SELECT string_agg(routed::text, ' ' ORDER BY event_id) FROM trunkline.events";
    assert_eq!(house.database.text(routed).await, "false true false");
    assert!(![small, unjudged].iter().any(|id| arrivals(&house).contains_key(&id.to_string())));
    worker.stop().await;
}

#[tokio::test]
async fn a_replay_to_another_endpoint_makes_deliveries_there_and_leaves_the_first_alone() {
    let house = House::new().await;
    let events = delivered(&house, 2).await;
    let other =
        seed_endpoint(&house.database, &house.settings, &house.acme, "other", &house.sink.url("/other"))
            .await;
    let spec = ReplaySpec { to_endpoint_id: Some(other), ..spec(&house).await };
    let worker = house.worker().await;
    let replay = until_done(&house, start(&house, &spec, 100).await).await;
    assert_eq!(replay.replayed, 2);
    house.sink.wait_for(2).await;
    worker.stop().await;
    let paths: Vec<_> = house.sink.arrivals().iter().map(|one| one.path.clone()).collect();
    assert_eq!(paths, ["/other", "/other"]);
    let counts =
        "SELECT string_agg(attempts::text, ' ' ORDER BY event_id, endpoint_id) FROM trunkline.deliveries";
    assert_eq!(house.database.text(counts).await, "1 1 1 1");
    assert_eq!(events.len(), 2);
}

#[tokio::test]
async fn what_is_replayed_to_an_endpoint_that_fails_is_retried_by_its_schedule() {
    let house = House::new().await;
    let event_id = delivered(&house, 1).await[0];
    house.sink.script([Answer::Status(500)]);
    let worker = house.worker().await;
    until_done(&house, start(&house, &spec(&house).await, 100).await).await;
    house.sink.wait_for(2).await;
    assert_eq!(house.until(event_id, "DELIVERED").await.attempts, 3);
    assert_eq!(house.outcomes(event_id).await, "rejected succeeded");
    worker.stop().await;
}

#[tokio::test]
async fn a_replay_makes_nothing_for_an_endpoint_that_was_deleted_meanwhile() {
    let house = House::new().await;
    delivered(&house, 2).await;
    let url = house.sink.url("/other");
    let other = seed_endpoint(&house.database, &house.settings, &house.acme, "other", &url).await;
    let spec = ReplaySpec { to_endpoint_id: Some(other), ..spec(&house).await };
    let replay = start(&house, &spec, 100).await;
    house
        .database
        .execute("UPDATE trunkline.endpoints SET enabled = false, disabled_reason = 'manual', deleted_at = now() WHERE name = 'other'")
        .await;
    let worker = house.worker().await;
    assert_eq!(until_done(&house, replay).await.replayed, 0);
    worker.stop().await;
    assert_eq!(house.database.text("SELECT count(*) FROM trunkline.deliveries").await, "2");
}

#[tokio::test]
async fn filters_that_are_dear_make_steps_short_and_never_stop_a_replay() {
    let house = House::new().await;
    house.database.execute("UPDATE trunkline.endpoints SET event_types = '{nothing}'").await;
    // About 8,000 items and 60 steps for each: as many as an event may take.
    let payload = format!("{{\"a\":[{}0]}}", "1,".repeat(8_000));
    for _ in 0..12 {
        house.publish(&payload).await;
    }
    let filter = format!("exists($.a ? (@ == 0{}))", " || @ == 7".repeat(11));
    house
        .database
        .execute(&format!("UPDATE trunkline.endpoints SET event_types = NULL, payload_filter = '{filter}'"))
        .await;
    let weight = house.database.text("SELECT filter_weight FROM trunkline.endpoints").await.parse().unwrap();
    let steps = trunkline_domain::payload::steps(payload.as_bytes(), weight);
    assert!(steps > 400_000, "{weight}: {steps}");
    let unrouted = ReplaySpec { status: Some(EventStatus::Unrouted), ..spec(&house).await };
    let first = EventId::first_at(unrouted.after).as_uuid();
    let plan = replays::plan(&mut *house.database.borrow().await, &unrouted, first).await.unwrap();
    assert_eq!((plan.events.len(), plan.is_last), (5, false), "{steps}");
    let worker = house.worker().await;
    let replay = until_done(&house, start(&house, &unrouted, 100).await).await;
    assert_eq!((replay.seen, replay.replayed), (12, 12));
    // A filter of an earlier release, whose cost has no bound, is asked of nothing.
    house
        .database
        .execute("UPDATE trunkline.endpoints SET payload_filter = 'exists($.a ? (@ == $.a))'; UPDATE trunkline.events SET routed = false")
        .await;
    let replay = until_done(&house, start(&house, &unrouted, 100).await).await;
    assert_eq!((replay.seen, replay.replayed), (12, 0));
    worker.stop().await;
}

#[tokio::test]
async fn a_replay_that_makes_its_worker_panic_stops_no_other() {
    let house = House::new().await;
    let events = delivered(&house, 2).await;
    let poison = format!(
        "UPDATE trunkline.events SET deliver_at = '-infinity' WHERE event_id = '{}'",
        events[0].as_uuid()
    );
    house.database.execute(&poison).await;
    let all = spec(&house).await;
    let poisoned = start(&house, &all, 100).await;
    let worker = house.worker().await;
    // It was tried, panicked, and was put off.
    eventually("the poisoned replay was put off", async || {
        let sql = "SELECT step_at > created_at + interval '1 second' FROM trunkline.replays";
        (house.database.text(sql).await == "t").then_some(())
    })
    .await;
    // Of the time since, in which nothing happened.
    let good = ReplaySpec { after: all.before, ..spec(&house).await };
    until_done(&house, start(&house, &good, 100).await).await;
    assert_eq!(find(&house, poisoned).await.state, ReplayState::Running);
    house.database.execute("UPDATE trunkline.events SET deliver_at = NULL").await;
    assert_eq!(until_done(&house, poisoned).await.replayed, 2);
    worker.stop().await;
}
