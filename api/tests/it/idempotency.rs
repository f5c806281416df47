//! Idempotency-Key: one event, whoever asks how often.

use std::collections::HashSet;

use http::Method;
use trunkline_testkit::{Client, Reply, eventually};

use crate::house::{Door, House, problem};

async fn publish(client: &Client, key: &str, body: &'static str) -> Reply {
    let headers = [("content-type", "application/json"), ("idempotency-key", key)];
    client.send(Method::POST, "/v1/events", body, &headers).await
}

#[tokio::test]
async fn the_same_key_and_body_get_the_first_answer_again() {
    let house = House::new().await;
    let first = publish(&house.client, "k-1", r#"{"a":1}"#).await;
    assert_eq!((first.status, first.header("idempotency-replayed")), (201, ""));
    let again = publish(&house.client, "k-1", r#"{"a":1}"#).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (201, "true"));
    assert_eq!(again.body, first.body);
    problem(&publish(&house.client, "k-1", r#"{"a":2}"#).await, 422, "idempotency_key_reused");
    assert_eq!(publish(&house.client, "k-2", r#"{"a":1}"#).await.header("idempotency-replayed"), "");
    assert_eq!(house.stored().await, "2 2 2 2 1 1");
}

#[tokio::test]
async fn a_key_belongs_to_its_tenant() {
    let house = House::new().await;
    let (_, other) = house.tenant("globex").await;
    publish(&house.client, "k", r#"{"a":1}"#).await;
    let theirs = publish(&other, "k", r#"{"a":2}"#).await;
    assert_eq!((theirs.status, theirs.header("idempotency-replayed")), (201, ""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_at_once_on_two_replicas_make_one_event() {
    let house = House::new().await;
    let replica = Door::start(&house.settings).await;
    let other = Client::local(replica.port).bearer(&house.acme.api_key);
    let asking =
        (0..50).map(|number| publish(if number % 2 == 0 { &house.client } else { &other }, "k", "{}"));
    let replies = futures_util::future::join_all(asking).await;
    let ids: HashSet<_> =
        replies.iter().filter(|reply| reply.status == 201).map(|reply| reply.body.clone()).collect();
    assert_eq!(ids.len(), 1);
    for reply in replies.iter().filter(|reply| reply.status != 201) {
        problem(reply, 409, "idempotency_key_in_use");
    }
    let first =
        replies.iter().filter(|reply| reply.status == 201 && reply.header("idempotency-replayed").is_empty());
    assert_eq!(first.count(), 1, "one made it, the others were told so");
    assert_eq!(house.stored().await, "1 1 1 1 1 1");
    replica.stop().await;
}

#[tokio::test]
async fn a_key_that_another_transaction_holds_is_in_use() {
    let house = House::new().await;
    let mut holder = house.database.connect().await;
    let hold = format!(
        "BEGIN; INSERT INTO trunkline.idempotency_keys VALUES ({}, 'acme', 'k', decode(repeat('00', 32), 'hex'), gen_random_uuid(), now() + interval '1 day')",
        house.acme.lane.number()
    );
    trunkline_testkit::run(&mut holder, &hold).await;
    let held = eventually("it is answered", async || {
        let reply = publish(&house.client, "k", "{}").await;
        (reply.status != 503).then_some(reply)
    })
    .await;
    problem(&held, 409, "idempotency_key_in_use");
    assert_eq!(held.header("retry-after"), "1");
    trunkline_testkit::run(&mut holder, "ROLLBACK").await;
    let then = eventually("the key is free", async || {
        let reply = publish(&house.client, "k", "{}").await;
        (reply.status == 201).then_some(reply)
    });
    assert_eq!(then.await.status, 201);
}

#[tokio::test]
async fn an_expired_key_makes_a_new_event() {
    let house = House::new().await;
    let first = publish(&house.client, "k", r#"{"a":1}"#).await;
    house
        .database
        .execute("UPDATE trunkline.idempotency_keys SET expires_at = now() - interval '1 second'")
        .await;
    let second = publish(&house.client, "k", r#"{"a":2}"#).await;
    assert_eq!((second.status, second.header("idempotency-replayed")), (201, ""));
    assert_ne!(second.body, first.body);
}

#[tokio::test]
async fn keys_in_other_hands_keep_no_other_key_waiting() {
    let house = House::new().await;
    let mut holder = house.database.connect().await;
    let hold = format!(
        "BEGIN; INSERT INTO trunkline.idempotency_keys SELECT {}, 'acme', 'held-' || n, decode(repeat('00', 32), 'hex'), gen_random_uuid(), now() + interval '1 day' FROM generate_series(0, 7) AS n",
        house.acme.lane.number()
    );
    trunkline_testkit::run(&mut holder, &hold).await;
    // A machine that stands still for a second makes anyone late; waiting for eight keys in turn would do so every time.
    let rounds = std::sync::atomic::AtomicUsize::new(0);
    eventually("no held key is published, and each free one is", async || {
        let round = rounds.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let keys: Vec<String> =
            (0..8).map(|n| format!("held-{n}")).chain((0..4).map(|n| format!("free-{n}-{round}"))).collect();
        let asking = keys.iter().map(|key| publish(&house.client, key, "{}"));
        let replies = futures_util::future::join_all(asking).await;
        let is_right = |(key, reply): (&String, &Reply)| (reply.status == 201) == key.starts_with("free");
        keys.iter().zip(&replies).all(is_right).then_some(())
    })
    .await;
    trunkline_testkit::run(&mut holder, "ROLLBACK").await;
}
