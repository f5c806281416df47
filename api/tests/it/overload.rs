//! Too much, or no database: told at once, with Retry-After.

use std::time::{Duration, Instant};

use trunkline_testkit::{Client, TestDatabase};

use crate::house::{Door, House, problem};

#[tokio::test]
async fn above_its_rate_a_tenant_is_told_when_to_come_back() {
    let house = House::with(|settings| {
        settings.ingest.rate_per_tenant = 1;
        settings.ingest.burst_per_tenant = 3;
    })
    .await;
    for _ in 0..3 {
        house.publish("{}").await;
    }
    let refused = house.client.post("/v1/events", "{}").await;
    problem(&refused, 429, "rate_limited");
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(refused.header("ratelimit-policy"), "\"tenant\";q=3;w=3");
    let (_, other) = house.tenant("globex").await;
    assert_eq!(other.post("/v1/events", "{}").await.status, 201, "others are not held to it");
    assert_eq!(house.client.get("/v1/events").await.status, 200, "reading is not counted");
}

#[tokio::test]
async fn a_database_that_does_not_answer_is_503_within_about_a_second() {
    let house = House::new().await;
    let id = house.publish("{}").await;
    let mut holder = house.database.connect().await;
    trunkline_testkit::run(&mut holder, "BEGIN; LOCK TABLE trunkline.events, trunkline.payloads, trunkline.deliveries IN ACCESS EXCLUSIVE MODE").await;
    let path = format!("/v1/events/{id}");
    let asked = Instant::now();
    let (published, shown) = tokio::join!(house.client.post("/v1/events", "{}"), house.client.get(&path));
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    for reply in [published, shown] {
        problem(&reply, 503, "database_unavailable");
        assert_eq!(reply.header("retry-after"), "1");
    }
    trunkline_testkit::run(&mut holder, "ROLLBACK").await;
    trunkline_testkit::eventually("it serves again", async || {
        (house.client.post("/v1/events", "{}").await.status == 201).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_database_that_lets_nobody_in_is_503_until_it_does_again() {
    let house = House::new().await;
    let (id, elsewhere) = (house.publish("{}").await, TestDatabase::new().await);
    let (server, name) = house.database.url().rsplit_once('/').unwrap();
    let (_, server) = server.rsplit_once('@').unwrap();
    elsewhere
        .execute(
            "CREATE ROLE an_api LOGIN NOINHERIT PASSWORD 'secret' IN ROLE trunkline_api, trunkline_ingest, trunkline_operator",
        )
        .await;
    let mut settings = house.settings.clone();
    settings.database.url = Some(format!("postgres://an_api:secret@{server}/{name}").into());
    let door = Door::start(&settings).await;
    let client = Client::local(door.port).bearer(&house.acme.api_key);
    for (refuse, admit) in [
        ("ALTER ROLE an_api NOLOGIN", "ALTER ROLE an_api LOGIN"),
        ("ALTER ROLE an_api PASSWORD 'rotated'", "ALTER ROLE an_api PASSWORD 'secret'"),
        ("ALTER DATABASE {} ALLOW_CONNECTIONS false", "ALTER DATABASE {} ALLOW_CONNECTIONS true"),
        ("REVOKE CONNECT ON DATABASE {} FROM PUBLIC", "GRANT CONNECT ON DATABASE {} TO PUBLIC"),
    ] {
        elsewhere.execute(&refuse.replace("{}", name)).await;
        let end = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'an_api'";
        elsewhere.execute(end).await;
        let path = format!("/v1/events/{id}");
        for _ in 0..3 {
            for reply in [
                client.post("/v1/events", "{}").await,
                client.get(&path).await,
                client.get("/v1/events").await,
            ] {
                problem(&reply, 503, "database_unavailable");
                assert_eq!(reply.header("retry-after"), "1", "{refuse}");
            }
        }
        elsewhere.execute(&admit.replace("{}", name)).await;
        trunkline_testkit::eventually("it serves again", async || {
            (client.post("/v1/events", "{}").await.status == 201).then_some(())
        })
        .await;
    }
    door.stop().await;
}

#[test]
fn a_program_that_finds_no_database_ends_with_69() {
    let ended = std::process::Command::new(env!("CARGO_BIN_EXE_trunkline-api"))
        .env_clear()
        .env("TRUNKLINE__DATABASE__URL", "postgres://nobody:secret@127.0.0.1:1/none")
        .env("TRUNKLINE__SECRETS__KEYS", "k1:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=")
        .output()
        .unwrap();
    assert_eq!(ended.status.code(), Some(69), "{}", String::from_utf8_lossy(&ended.stderr));
}

#[tokio::test]
async fn one_tenant_cannot_take_the_searches_of_others() {
    let house = House::new().await;
    let (_, globex) = house.tenant("globex").await;
    // A list of one table that answers nobody until the server's patience with locks is over, a second later.
    let mut holder = house.database.connect().await;
    trunkline_testkit::run(&mut holder, "BEGIN; LOCK TABLE trunkline.replays IN ACCESS EXCLUSIVE MODE").await;
    let asked: Vec<_> = (0..20)
        .map(|_| {
            let client = house.client.clone();
            tokio::spawn(async move { client.get("/v1/replays").await })
        })
        .collect();
    trunkline_testkit::eventually("the tenant uses its share", async || {
        let waiting = "SELECT count(*) FROM pg_stat_activity
                       WHERE datname = current_database() AND wait_event_type = 'Lock' AND state = 'active'";
        (house.database.text(waiting).await.parse::<u32>().unwrap() >= 3).then_some(())
    })
    .await;
    for path in ["/v1/events", "/v1/dead-letters", "/v1/stats", "/v1/endpoints"] {
        assert_eq!(globex.get(path).await.status, 200, "{path}");
    }
    let mut refused = 0;
    for reply in asked {
        let reply = reply.await.unwrap();
        if reply.status == 429 {
            problem(&reply, 429, "too_many_searches");
            assert_eq!(reply.header("retry-after"), "1");
            refused += 1;
        }
    }
    assert!(refused > 0);
    trunkline_testkit::run(&mut holder, "ROLLBACK").await;
    assert_eq!(house.client.get("/v1/replays").await.status, 200);
}

#[tokio::test]
async fn a_filter_that_was_made_heavier_a_moment_ago_fails_no_other_tenant() {
    let house = House::new().await;
    let (_, globex) = house.tenant("globex").await;
    house.database.execute("UPDATE trunkline.endpoints SET payload_filter = '$.b == 1'").await;
    // About 8,000 items: with twelve comparisons for each as dear as an event may be, and ten at once longer than a statement may take.
    let payload = format!("{{\"a\":[{}0]}}", "1,".repeat(8_000));
    // From now on the api believes for some seconds that both are light.
    house.publish(&payload).await;
    assert_eq!(globex.post("/v1/events", "{}").await.status, 201);
    let heavy = format!("exists($.a ? (@ == 0{}))", " || @ == 7".repeat(11));
    let save = format!("UPDATE trunkline.endpoints SET payload_filter = '{heavy}' WHERE tenant_id = 'acme'");
    house.database.execute(&save).await;
    let many: Vec<_> = (0..100)
        .map(|_| {
            let (client, payload) = (house.client.clone(), payload.clone());
            tokio::spawn(async move { client.post("/v1/events", payload).await })
        })
        .collect();
    while !many.iter().all(tokio::task::JoinHandle::is_finished) {
        assert_eq!(globex.post("/v1/events", "{}").await.status, 201);
    }
    let mut stored = 0;
    for reply in many {
        let reply = reply.await.unwrap();
        if reply.status == 201 {
            stored += 1;
        } else {
            problem(&reply, 503, "database_unavailable");
        }
    }
    assert!(stored > 0, "it waits for its own events, as many as there is time for");
}
