//! The end of history: partitions go when their time is over, payloads first; shorter retentions erase bit by bit.

use std::time::Duration;

use serde_json::Value;
use trunkline_store::Purpose;
use trunkline_store::retention::Turn;
use trunkline_testkit::{SeededTenant, eventually, run, seed_endpoint, seed_tenant, try_text};

use crate::house::House;

const DAY: Duration = Duration::from_secs(86_400);

/// A day of the past with partitions of its own, and two finished events of acme in it.
async fn day(house: &House, days_ago: u32) {
    let sql = format!(
        "SELECT trunkline.create_partition(current_date - {days_ago}, current_date - {days_ago} + 1)"
    );
    house.database.execute(&sql).await;
    events(house, days_ago, "old.news", 2).await;
}

/// Finished events of acme, each with its payload, delivery and attempt.
async fn events(house: &House, days_ago: u32, event_type: &str, count: u32) {
    events_of(house, &house.acme, days_ago, event_type, count).await;
}

async fn events_of(house: &House, tenant: &SeededTenant, days_ago: u32, event_type: &str, count: u32) {
    let (tenant, lane, endpoint) = (&tenant.tenant_id, tenant.lane.number(), tenant.endpoint_id.as_uuid());
    let sql = format!(
        "WITH event AS (
             INSERT INTO trunkline.events (lane, tenant_id, event_id, type, payload_sha256, payload_bytes, created_at, routed)
             SELECT {lane}, '{tenant}', trunkline.uuid_v7(at), '{event_type}', decode(repeat('00', 32), 'hex'), 12, at, true
             FROM (SELECT (current_date - {days_ago})::timestamp AT TIME ZONE 'UTC' + n * interval '10 ms' AS at
                   FROM generate_series(1, {count}) AS n) AS times
             RETURNING *
         ), payload AS (
             INSERT INTO trunkline.payloads SELECT lane, tenant_id, event_id, convert_to('{{\"n\": 1e400}}', 'UTF8') FROM event
         ), delivery AS (
             INSERT INTO trunkline.deliveries (lane, tenant_id, event_id, endpoint_id, status, attempts, cycle_attempts,
                 last_attempt_at, created_at, finished_at)
             SELECT lane, tenant_id, event_id, '{endpoint}', 'DELIVERED', 1, 1, created_at, created_at, created_at FROM event
         )
         INSERT INTO trunkline.attempts (lane, tenant_id, event_id, endpoint_id, attempt, started_at, outcome)
         SELECT lane, tenant_id, event_id, '{endpoint}', 1, created_at, 'succeeded' FROM event"
    );
    house.database.execute(&sql).await;
}

/// Makes the deliveries of a day wait for what is an hour ahead.
async fn open(house: &House, days_ago: u32) {
    let sql = format!(
        "UPDATE trunkline.deliveries_{} SET status = 'PENDING', due_at = now() + interval '1 hour', finished_at = NULL",
        name_of(house, days_ago).await
    );
    house.database.execute(&sql).await;
}

async fn name_of(house: &House, days_ago: u32) -> String {
    house.database.text(&format!("SELECT to_char(current_date - {days_ago}, 'YYYYMMDD')")).await
}

/// The tables that have a partition for that day, attached or not.
async fn tables(house: &House, days_ago: u32) -> String {
    let sql = format!(
        "SELECT coalesce(string_agg(split_part(relname, '_', 1), ' ' ORDER BY relname), '') FROM pg_class
         WHERE relkind = 'r' AND relname LIKE '%\\_{}'",
        name_of(house, days_ago).await
    );
    house.database.text(&sql).await
}

async fn until_tables(house: &House, days_ago: u32, expected: &str) {
    let what = format!("of {days_ago} days ago there is only: {expected}");
    eventually(&what, async || (tables(house, days_ago).await == expected).then_some(())).await;
}

/// A day is forgotten after the last of its tables went: until then it cannot be brought back.
async fn until_forgotten(house: &House, days_ago: u32) {
    let known = format!(
        "SELECT count(*) FROM trunkline.history_partitions WHERE from_day = current_date - {days_ago}"
    );
    eventually("the day is forgotten", async || (house.database.text(&known).await == "0").then_some(()))
        .await;
    assert_eq!(tables(house, days_ago).await, "");
}

/// The round is over when its turn is free again and it has begun, which the days it counted show.
async fn until_a_round_is_over(house: &House) {
    let counted = "SELECT count(*) FROM trunkline.counted_days";
    eventually("days are counted", async || (house.database.text(counted).await != "0").then_some(())).await;
    let pool = house.database.pool(Purpose::Maintenance);
    eventually("the round is over", async || Turn::take(&pool).await.unwrap().map(drop)).await;
}

#[tokio::test]
async fn days_go_when_their_time_is_over_payloads_before_the_rest() {
    let house = House::new().await;
    for days_ago in [100, 40, 10] {
        day(&house, days_ago).await;
    }
    let worker = house.worker().await;
    until_forgotten(&house, 100).await;
    until_tables(&house, 40, "attempts deliveries events").await;
    until_a_round_is_over(&house).await;
    assert_eq!(tables(&house, 10).await, "attempts deliveries events payloads");
    let left = "SELECT string_agg((current_date - from_day) || ' ' || (payloads_gone_at IS NOT NULL), ', ' ORDER BY from_day)
                FROM trunkline.history_partitions WHERE from_day < current_date - 2";
    assert_eq!(house.database.text(left).await, "40 true, 10 false");
    // What happened on it is still known.
    let known = "SELECT concat_ws(' ', events, delivered, attempts) FROM trunkline_read.tenant_daily
                 WHERE tenant_id = 'acme' AND day = current_date - 100";
    assert_eq!(house.database.text(known).await, "2 2 2");
    // And the house goes on.
    let event_id = house.publish("{}").await;
    house.until(event_id, "DELIVERED").await;
    worker.stop().await;
}

#[tokio::test]
async fn unfinished_work_keeps_its_day_and_is_given_up_after_thirty_days_more() {
    let house = House::new().await;
    let news = trunkline_testkit::Sink::start().await;
    let id =
        seed_endpoint(&house.database, &house.settings, &house.acme, "operations", &news.url("/news")).await;
    let operational = format!(
        "UPDATE trunkline.endpoints SET operational = true, event_types = '{{}}' WHERE endpoint_id = '{}'",
        id.as_uuid()
    );
    house.database.execute(&operational).await;
    for days_ago in [100, 50, 45] {
        day(&house, days_ago).await;
    }
    open(&house, 100).await;
    open(&house, 50).await;
    let worker = house.worker().await;
    until_tables(&house, 45, "attempts deliveries events").await;
    until_forgotten(&house, 100).await;
    until_a_round_is_over(&house).await;
    assert_eq!(tables(&house, 50).await, "attempts deliveries events payloads", "what waits in it keeps it");
    let told: Value = eventually("the tenant is told", async || {
        let arrivals = news.arrivals();
        let one = arrivals.iter().find(|one| one.header("trunkline-event-type") == "delivery.expired")?;
        serde_json::from_slice(&one.body).ok()
    })
    .await;
    assert_eq!(told["count"], 2);
    worker.stop().await;
    let known =
        "SELECT concat_ws(' ', cancelled, waiting) FROM trunkline.tenant_days WHERE day = current_date - 100";
    assert_eq!(house.database.text(known).await, "2 0");
}

#[tokio::test]
async fn a_partition_that_was_half_detached_by_one_who_died_goes_all_the_same() {
    let house = House::new().await;
    day(&house, 40).await;
    let partition = format!("payloads_{}", name_of(&house, 40).await);
    // A reader of the table keeps the second half of the detachment waiting until it gives up.
    let mut reader = house.database.connect().await;
    run(&mut reader, "BEGIN; SELECT FROM trunkline.payloads LIMIT 1").await;
    let mut detaching = house.database.connect().await;
    run(&mut detaching, "SET statement_timeout = '500ms'").await;
    let detach =
        format!("ALTER TABLE trunkline.payloads DETACH PARTITION trunkline.{partition} CONCURRENTLY");
    try_text(&mut detaching, &detach).await.unwrap_err();
    let pending = "SELECT count(*) FROM pg_inherits WHERE inhdetachpending";
    assert_eq!(house.database.text(pending).await, "1");
    run(&mut reader, "ROLLBACK").await;
    let worker = house.worker().await;
    until_tables(&house, 40, "attempts deliveries events").await;
    worker.stop().await;
}

#[tokio::test]
async fn what_is_dropped_is_exported_before_and_what_cannot_be_exported_is_not_dropped() {
    let folder = std::env::temp_dir().join(format!("trunkline-export-{}", std::process::id()));
    let _left_over = std::fs::remove_dir_all(&folder);
    let export = folder.clone();
    let house = House::with(move |settings| settings.retention.export = Some(export)).await;
    day(&house, 100).await;
    // The folder is not there: its disk may not be mounted.
    let worker = house.worker().await;
    until_a_round_is_over(&house).await;
    worker.stop().await;
    assert_eq!(tables(&house, 100).await, "attempts deliveries events payloads");
    let readable = "SELECT count(*) FROM trunkline.payloads";
    assert_eq!(house.database.text(readable).await, "2", "it is not taken out of the history either");

    std::fs::create_dir(&folder).unwrap();
    let worker = house.worker().await;
    until_forgotten(&house, 100).await;
    worker.stop().await;
    let day = house.database.text("SELECT current_date - 100").await;
    let lines = |table: &str| -> Vec<Value> {
        let text = std::fs::read_to_string(folder.join(&day).join(format!("{table}.ndjson"))).unwrap();
        // The numbers of payloads stay as they are: 1e400 is within a string.
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    for table in ["events", "payloads", "deliveries", "attempts"] {
        assert_eq!(lines(table).len(), 2, "{table}");
    }
    assert_eq!(lines("payloads")[0]["payload"], "{\"n\": 1e400}");
    assert_eq!(
        (&lines("events")[0]["type"], &lines("attempts")[0]["outcome"]),
        (&"old.news".into(), &"succeeded".into())
    );
    assert_eq!(std::fs::read_dir(folder.join(&day)).unwrap().count(), 4, "nothing unfinished is left");

    // Brought back as the page says, it stays as long as was asked for.
    let page = include_str!("../../../docs/DATA_MODEL.md").split("**Brought back.**").nth(1).unwrap();
    let page = page.split("```sql\n").nth(1).unwrap().split("\n```").next().unwrap();
    let kept_until = house.database.text("SELECT current_date + 30").await;
    let mut connection = house.database.connect().await;
    for statement in page.split(";\n").map(|one| one.trim_end_matches(';')) {
        let statement = statement.replace(
            "'2026-01-31', '2026-02-01', '2026-12-31'",
            &format!("'{day}', '{day}'::date + 1, '{kept_until}'"),
        );
        match statement.strip_prefix("\\copy line FROM '2026-01-31/") {
            None => run(&mut connection, &statement).await,
            // What psql does.
            Some(rest) => {
                let file = folder.join(&day).join(rest.split('\'').next().unwrap());
                for line in std::fs::read_to_string(file).unwrap().lines() {
                    run(&mut connection, &format!("INSERT INTO line VALUES ($line${line}$line$)")).await;
                }
            }
        }
    }
    let reported = trunkline_store::retention::report(&mut connection).await.unwrap();
    let stays: Vec<String> = reported.iter().filter_map(|one| Some(one.kept_until?.to_string())).collect();
    assert_eq!(stays, [kept_until]);
    let worker = house.worker().await;
    until_a_round_is_over(&house).await;
    worker.stop().await;
    let back = "SELECT concat_ws(' ', (SELECT count(*) FROM trunkline.events), (SELECT count(*) FROM trunkline.deliveries),
                    (SELECT count(*) FROM trunkline.attempts), (SELECT string_agg(convert_from(payload, 'UTF8'), ' ') FROM trunkline.payloads))";
    assert_eq!(house.database.text(back).await, "2 2 2 {\"n\": 1e400} {\"n\": 1e400}");

    // When that is over it goes again, and what was exported first stays as it was.
    let first = std::fs::read_to_string(folder.join(&day).join("payloads.ndjson")).unwrap();
    house
        .database
        .execute("DELETE FROM trunkline.payloads; UPDATE trunkline.history_partitions SET kept_until = NULL")
        .await;
    let worker = house.worker().await;
    until_forgotten(&house, 100).await;
    worker.stop().await;
    assert_eq!(std::fs::read_to_string(folder.join(&day).join("payloads.ndjson")).unwrap(), first);
    assert_eq!(std::fs::read_to_string(folder.join(&day).join("payloads.2.ndjson")).unwrap(), "");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn payloads_go_in_time_however_much_longer_the_rest_is_kept() {
    let house = House::with(|settings| settings.retention.events = DAY * 365).await;
    day(&house, 40).await;
    house
        .database
        .execute(
            "INSERT INTO trunkline.history_partitions (from_day, until_day, payloads_gone_at)
             SELECT current_date - n, current_date - n + 1, now() FROM generate_series(41, 170) AS n",
        )
        .await;
    let worker = house.worker().await;
    until_tables(&house, 40, "attempts deliveries events").await;
    worker.stop().await;
}

#[tokio::test]
async fn a_shorter_retention_is_kept_where_days_cannot_go() {
    let house = House::with(|settings| settings.retention.export = Some("/not/there".into())).await;
    for days_ago in [100, 20] {
        day(&house, days_ago).await;
    }
    house.database.execute("UPDATE trunkline.tenants SET retention_days = 10").await;
    let worker = house.worker().await;
    eventually("all is erased", async || {
        (house.database.text("SELECT count(*) FROM trunkline.events").await == "0").then_some(())
    })
    .await;
    worker.stop().await;
    assert_eq!(tables(&house, 100).await, "attempts deliveries events payloads");
}

#[tokio::test]
async fn what_keeps_a_duty_or_a_day_from_its_end_keeps_no_other() {
    let folder = std::env::temp_dir().join(format!("trunkline-export-broken-{}", std::process::id()));
    let _left_over = std::fs::remove_dir_all(&folder);
    std::fs::create_dir(&folder).unwrap();
    let export = folder.clone();
    let house = House::with(move |settings| settings.retention.export = Some(export)).await;
    for days_ago in [100, 99] {
        day(&house, days_ago).await;
    }
    // Erasing does not know where to go on, and a file is in the way of a day's folder.
    let place = "INSERT INTO trunkline.erasing_places VALUES ('no tenant!', '', gen_random_uuid())";
    house.database.execute(place).await;
    let first = house.database.text("SELECT current_date - 100").await;
    std::fs::write(folder.join(first), "in the way").unwrap();
    let worker = house.worker().await;
    until_tables(&house, 99, "").await;
    worker.stop().await;
    assert_eq!(tables(&house, 100).await, "attempts deliveries events payloads");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn one_tenants_backlog_keeps_no_other_from_being_erased() {
    let house = House::new().await;
    let globex = seed_tenant(&house.database, &house.settings, "globex", "http://127.0.0.1:9/").await;
    day(&house, 20).await;
    events(&house, 20, "old.news", 30_000).await;
    events_of(&house, &globex, 20, "old.news", 10).await;
    house.database.execute("UPDATE trunkline.tenants SET retention_days = 10").await;
    let worker = house.worker().await;
    let left = |tenant: &str| format!("SELECT count(*) FROM trunkline.events WHERE tenant_id = '{tenant}'");
    eventually("globex's are erased", async || {
        (house.database.text(&left("globex")).await == "0").then_some(())
    })
    .await;
    assert_ne!(house.database.text(&left("acme")).await, "0", "acme's were not all erased before");
    worker.stop().await;
}

#[tokio::test]
async fn what_is_opened_again_while_its_day_goes_keeps_it() {
    let house = House::new().await;
    day(&house, 40).await;
    // Somebody has seen the payload, and so may retry; meanwhile the day is on its way out.
    let mut retrying = house.database.connect().await;
    run(&mut retrying, "BEGIN; SELECT FROM trunkline.payloads LIMIT 1").await;
    let worker = house.worker().await;
    let pending = "SELECT count(*) FROM pg_inherits WHERE inhdetachpending";
    eventually("it is on its way out", async || (house.database.text(pending).await == "1").then_some(()))
        .await;
    let retry = format!(
        "UPDATE trunkline.deliveries_{} SET status = 'PENDING', due_at = now() + interval '1 hour', finished_at = NULL; COMMIT",
        name_of(&house, 40).await
    );
    run(&mut retrying, &retry).await;
    let readable = "SELECT count(*) FROM trunkline.payloads";
    eventually("it is back", async || (house.database.text(readable).await == "2").then_some(())).await;
    until_a_round_is_over(&house).await;
    worker.stop().await;
    assert_eq!(tables(&house, 40).await, "attempts deliveries events payloads");
    assert_eq!(
        house.database.text("SELECT count(payloads_gone_at) FROM trunkline.history_partitions").await,
        "0"
    );
}

#[tokio::test]
async fn a_tenants_or_types_shorter_retention_erases_what_came_to_its_end() {
    let house = House::new().await;
    for days_ago in [20, 5] {
        day(&house, days_ago).await;
    }
    events(&house, 20, "old.news", 2_500).await;
    events(&house, 5, "fleeting", 3).await;
    let one_is_open = format!(
        "UPDATE trunkline.deliveries_{} SET status = 'PENDING', due_at = now() + interval '1 hour', finished_at = NULL
         WHERE event_id = (SELECT event_id FROM trunkline.events ORDER BY event_id LIMIT 1)",
        name_of(&house, 20).await
    );
    house.database.execute(&one_is_open).await;
    house
        .database
        .execute(
            "UPDATE trunkline.tenants SET retention_days = 10;
             INSERT INTO trunkline.event_types (tenant_id, type, retention_days, created_at, updated_at)
             VALUES ('acme', 'fleeting', 2, now(), now())",
        )
        .await;
    let worker = house.worker().await;
    let left = "SELECT concat_ws(' ', (SELECT count(*) FROM trunkline.events), (SELECT count(*) FROM trunkline.payloads),
                                  (SELECT count(*) FROM trunkline.deliveries), (SELECT count(*) FROM trunkline.attempts))";
    eventually("only the open one, and those of five days ago, are left", async || {
        (house.database.text(left).await == "3 3 3 3").then_some(())
    })
    .await;
    until_a_round_is_over(&house).await;
    worker.stop().await;
    let types = "SELECT string_agg(type || ' ' || (current_date - created_at::date), ', ' ORDER BY event_id) FROM trunkline.events";
    assert_eq!(house.database.text(types).await, "old.news 20, old.news 5, old.news 5");

    // Whoever comes next goes on from there: with what was open, and beyond what it need not look at again.
    let places = "SELECT string_agg(concat_ws(' ', p.type, (SELECT count(*) FROM trunkline.events AS e WHERE e.event_id < p.next_event_id)), ', '
                                    ORDER BY p.type) FROM trunkline.erasing_places AS p";
    assert_eq!(house.database.text(places).await, " 0, fleeting 3");
    let finished = "UPDATE trunkline.deliveries SET status = 'CANCELLED', due_at = NULL, finished_at = now() WHERE due_at IS NOT NULL";
    house.database.execute(finished).await;
    let worker = house.worker().await;
    eventually("the last goes", async || (house.database.text(left).await == "2 2 2 2").then_some(())).await;
    worker.stop().await;
}

#[tokio::test]
async fn one_at_a_time_ends_history() {
    let house = House::new().await;
    let pool = house.database.pool(Purpose::Maintenance);
    let first = Turn::take(&pool).await.unwrap();
    assert!(first.is_some());
    assert!(Turn::take(&pool).await.unwrap().is_none());
    drop(first);
    eventually("the turn is free", async || Turn::take(&pool).await.unwrap()).await;
}
