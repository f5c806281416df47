//! Replays: started, counted beforehand, shown, steered.

use serde_json::{Value, json};
use trunkline_store::{replays, time};
use trunkline_testkit::{eventually, seed_endpoint};

use crate::house::{House, problem, uuid};

async fn start(house: &House, body: Value) -> Value {
    let reply = house.client.post("/v1/replays", body.to_string()).await;
    assert_eq!(reply.status, 201, "{}", String::from_utf8_lossy(&reply.body));
    let replay = reply.json();
    assert_eq!(reply.header("location"), format!("/v1/replays/{}", replay["replay_id"].as_str().unwrap()));
    replay
}

async fn count(house: &House, mut body: Value) -> Value {
    body["dry_run"] = json!(true);
    let reply = house.client.post("/v1/replays", body.to_string()).await;
    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    reply.json()
}

/// Makes the next step, as a worker would.
async fn step(house: &House) -> Option<replays::Stepped> {
    let mut connection = house.database.borrow().await;
    let now = time::now(&mut connection).await.unwrap();
    replays::step(&mut connection, now).await.unwrap()
}

#[tokio::test]
async fn a_replay_is_started_with_defaults_and_shown_with_its_progress() {
    let house = House::new().await;
    for _ in 0..3 {
        let id = house.publish("{}").await;
        house.set(&id, "DELIVERED").await;
    }
    let replay = start(&house, json!({})).await;
    assert_eq!((&replay["state"], &replay["rate"]), (&json!("running"), &json!(100)));
    assert_eq!(
        (&replay["seen"], &replay["replayed"], &replay["payload_gone"]),
        (&json!(0), &json!(0), &json!(0))
    );
    let time = |name: &str| replay[name].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap();
    assert_eq!(time("before") - time("after"), chrono::Duration::hours(24));
    let path = format!("/v1/replays/{}", replay["replay_id"].as_str().unwrap());
    assert_eq!(house.client.get(&path).await.json(), replay);
    assert!(step(&house).await.unwrap().is_done);
    let done = house.client.get(&path).await.json();
    assert_eq!((&done["state"], &done["progress"]), (&json!("done"), &json!(1.0)));
    assert_eq!((&done["seen"], &done["replayed"]), (&json!(3), &json!(3)));
    assert!(done["finished_at"].is_string());
    assert!(step(&house).await.is_none(), "nothing is left to do");
    let sound = "SELECT DISTINCT status || ' ' || cycle_attempts || ' ' || attempts || ' ' || held || ' ' || expedited FROM trunkline.deliveries";
    assert_eq!(house.database.text(sound).await, "PENDING 0 1 false false");
}

#[tokio::test]
async fn a_dry_run_counts_what_the_replay_then_does() {
    let house = House::new().await;
    let url = "http://127.0.0.1:9999/second";
    let second = seed_endpoint(&house.database, &house.settings, &house.acme, "second", url).await;
    let dead = house.publish(r#"{"type":"a"}"#).await;
    house.set(&dead, "DEAD").await;
    let delivered = house.publish(r#"{"type":"b"}"#).await;
    house.set(&delivered, "DELIVERED").await;
    let erased = house.publish(r#"{"type":"b"}"#).await;
    house.set(&erased, "DELIVERED").await;
    house
        .database
        .execute(&format!(
            "UPDATE trunkline.payloads SET payload = NULL WHERE event_id = '{}'",
            uuid(&erased)
        ))
        .await;
    house.publish("{}").await;
    let stored = house.stored().await;
    for (predicate, counted, gone) in [
        (json!({}), 4, 1),
        (json!({ "status": "FAILED" }), 2, 0),
        (json!({ "status": "DELIVERED" }), 2, 1),
        (json!({ "status": "CANCELLED" }), 0, 0),
        (json!({ "status": "UNROUTED" }), 0, 0),
        (json!({ "type": "a" }), 2, 0),
        (json!({ "endpoint_id": second }), 2, 1),
        (json!({ "to_endpoint_id": second, "endpoint_id": house.acme.endpoint_id }), 2, 1),
        (json!({ "before": "2026-01-01T00:00:00Z" }), 0, 0),
    ] {
        let answer = count(&house, predicate.clone()).await;
        assert_eq!(
            (&answer["counted"], &answer["payload_gone"]),
            (&json!(counted), &json!(gone)),
            "{predicate}"
        );
        assert_eq!((&answer["dry_run"], &answer["complete"]), (&json!(true), &json!(true)));
    }
    assert_eq!(house.stored().await, stored);
    assert_eq!(house.database.text("SELECT count(*) FROM trunkline.replays").await, "0");
    let replay = start(&house, json!({ "status": "FAILED", "endpoint_id": second })).await;
    assert_eq!(step(&house).await.unwrap().replayed, 1);
    assert_eq!(replay["endpoint_id"], json!(second));
}

#[tokio::test]
async fn an_unrouted_event_is_routed_by_a_replay() {
    let house = House::new().await;
    house.database.execute("UPDATE trunkline.endpoints SET event_types = '{nothing}'").await;
    let id = house.publish(r#"{"type":"order.created"}"#).await;
    let status =
        async || house.client.get(&format!("/v1/events/{id}")).await.json()["event"]["status"].clone();
    assert_eq!(status().await, "UNROUTED");
    assert_eq!(
        count(&house, json!({ "status": "UNROUTED" })).await["counted"],
        0,
        "nothing matches now either"
    );
    start(&house, json!({ "status": "UNROUTED", "to_endpoint_id": house.acme.endpoint_id })).await;
    assert_eq!(step(&house).await.unwrap().replayed, 1);
    assert_eq!(status().await, "PENDING");
    assert_eq!(house.database.text("SELECT bool_and(routed)::text FROM trunkline.events").await, "true");
}

#[tokio::test]
async fn a_replay_is_paused_resumed_and_cancelled() {
    let house = House::new().await;
    for _ in 0..2 {
        let id = house.publish("{}").await;
        house.set(&id, "DELIVERED").await;
    }
    let replay = start(&house, json!({ "rate": 1 })).await;
    let path = format!("/v1/replays/{}", replay["replay_id"].as_str().unwrap());
    let steer = async |action: &str| house.client.post(&format!("{path}/{action}"), "").await;
    for _ in 0..2 {
        let paused = steer("pause").await;
        assert_eq!((paused.status, paused.json()["state"].clone()), (200, json!("paused")));
    }
    assert!(step(&house).await.is_none(), "a paused replay makes no steps");
    assert_eq!(steer("resume").await.json()["state"], "running");
    assert_eq!(step(&house).await.unwrap().replayed, 1);
    assert!(step(&house).await.is_none(), "its rate is one a second");
    let cancelled = house.client.delete(&path).await;
    assert_eq!((cancelled.status, cancelled.json()["state"].clone()), (200, json!("cancelled")));
    assert_eq!(cancelled.json()["replayed"], 1);
    problem(&house.client.delete(&path).await, 409, "replay_is_over");
    let refused = problem(&steer("resume").await, 409, "replay_is_over");
    assert!(refused["detail"].as_str().unwrap().contains("cancelled"));
}

#[tokio::test]
async fn what_cannot_be_replayed_is_refused_by_name() {
    let house = House::new().await;
    let (_, globex) = house.tenant("globex").await;
    let foreign = house.tenant("initech").await.0.endpoint_id.to_string();
    for (body, field) in [
        (json!({ "status": "PENDING" }), "status"),
        (json!({ "status": "failed" }), "status"),
        (json!({ "type": "two words" }), "type"),
        (json!({ "after": "yesterday" }), "after"),
        (json!({ "after": "2026-02-01T00:00:00Z", "before": "2026-01-01T00:00:00Z" }), "after"),
        (json!({ "after": "2999-01-01T00:00:00Z" }), "after"),
        (json!({ "endpoint_id": "ep_1" }), "endpoint_id"),
        (json!({ "endpoint_id": foreign }), "endpoint_id"),
        (json!({ "to_endpoint_id": foreign }), "to_endpoint_id"),
        (json!({ "rate": 0 }), "rate"),
        (json!({ "rate": 10_001 }), "rate"),
    ] {
        let refused =
            problem(&house.client.post("/v1/replays", body.to_string()).await, 422, "invalid_field");
        assert_eq!(refused["errors"][0]["field"], field, "{body}");
    }
    house
        .database
        .execute("UPDATE trunkline.endpoints SET operational = true WHERE tenant_id = 'acme'")
        .await;
    let to = json!({ "to_endpoint_id": house.acme.endpoint_id }).to_string();
    problem(&house.client.post("/v1/replays", to).await, 422, "invalid_field");
    problem(&house.client.post("/v1/replays", r#"{"all":true}"#).await, 422, "invalid_body");
    for _ in 0..10 {
        start(&house, json!({})).await;
    }
    problem(&house.client.post("/v1/replays", "{}").await, 409, "too_many_replays");
    assert_eq!(globex.post("/v1/replays", "{}").await.status, 201, "each tenant has its own bound");
}

#[tokio::test]
async fn replays_are_listed_in_pages_and_foreign_ones_do_not_exist() {
    let house = House::new().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(start(&house, json!({})).await["replay_id"].as_str().unwrap().to_owned());
    }
    let first = house.client.get("/v1/replays?limit=2").await;
    assert!(first.header("link").ends_with("rel=\"next\""));
    let first = first.json();
    let shown = |page: &Value| -> Vec<String> {
        let replays = page["replays"].as_array().unwrap();
        replays.iter().map(|one| one["replay_id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(shown(&first), [ids[2].clone(), ids[1].clone()], "newest first");
    let token = first["next_token"].as_str().unwrap();
    let rest = house.client.get(&format!("/v1/replays?limit=2&next_token={token}")).await.json();
    assert_eq!((shown(&rest), rest.get("next_token")), (vec![ids[0].clone()], None));
    let (_, globex) = house.tenant("globex").await;
    assert_eq!(globex.get("/v1/replays").await.json()["total_count"], 0);
    let unknown = "rpl_01a20ada2c007abc8123456789abcdef";
    let ask = async |id: &str| {
        let path = format!("/v1/replays/{id}");
        [
            globex.get(&path).await,
            globex.delete(&path).await,
            globex.post(&format!("{path}/pause"), "").await,
            globex.post(&format!("{path}/resume"), "").await,
        ]
        .map(|reply| {
            let mut body = problem(&reply, 404, "replay_not_found");
            body["request_id"] = json!("");
            body
        })
    };
    assert_eq!(ask(&ids[0]).await, ask(unknown).await);
    assert_eq!(house.client.get(&format!("/v1/replays/{}", ids[0])).await.json()["state"], "running");
    problem(&globex.get(&format!("/v1/replays?next_token={token}")).await, 400, "invalid_query");
    problem(&house.client.get("/v1/replays/nothing").await, 404, "replay_not_found");
}

#[tokio::test]
async fn an_event_for_later_is_not_replayed_before_its_time() {
    let house = House::new().await;
    let now = time::now(&mut *house.database.borrow().await).await.unwrap();
    let later = now + chrono::Duration::days(3);
    let later = later.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    let headers = [("content-type", "application/json"), ("trunkline-deliver-at", later.as_str())];
    let published = house.client.send(http::Method::POST, "/v1/events", "{}", &headers).await;
    assert_eq!(published.status, 201, "{}", String::from_utf8_lossy(&published.body));
    let id = published.json()["event_id"].as_str().unwrap().to_owned();
    assert_eq!(house.client.delete(&format!("/v1/events/{id}")).await.status, 200);
    start(&house, json!({ "status": "CANCELLED" })).await;
    assert_eq!(step(&house).await.unwrap().replayed, 1);
    let due = format!("SELECT (due_at = '{later}'::timestamptz)::text FROM trunkline.deliveries");
    assert_eq!(house.database.text(&due).await, "true");
}

#[tokio::test]
async fn replayed_deliveries_keep_no_order_but_dead_letters_behind_which_others_may_wait() {
    let house = House::new().await;
    for status in ["DELIVERED", "DEAD"] {
        let id = house.publish("{}").await;
        house.set(&id, status).await;
    }
    house.database.execute("UPDATE trunkline.deliveries SET ordering_key = 'key'").await;
    start(&house, json!({})).await;
    assert_eq!(step(&house).await.unwrap().replayed, 2);
    let keys =
        "SELECT string_agg(coalesce(ordering_key, 'none'), ' ' ORDER BY event_id) FROM trunkline.deliveries";
    assert_eq!(house.database.text(keys).await, "none key");
}

#[tokio::test]
async fn of_many_started_at_once_no_more_run_than_may() {
    let house = House::new().await;
    // One that finds the tenant's share of connections in use asks again.
    let starting = (0..16).map(|_| {
        eventually("an answer", async || {
            Some(house.client.post("/v1/replays", "{}").await).filter(|reply| reply.status != 429)
        })
    });
    let replies = futures_util::future::join_all(starting).await;
    let (started, refused): (Vec<_>, Vec<_>) = replies.iter().partition(|reply| reply.status == 201);
    assert_eq!(started.len(), 10);
    for reply in refused {
        problem(reply, 409, "too_many_replays");
    }
    assert_eq!(house.database.text("SELECT count(*) FROM trunkline.replays").await, "10");
}
