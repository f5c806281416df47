//! History as a stream.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use trunkline_testkit::eventually;

use crate::house::{House, problem};

fn lines(body: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(body).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Begins an export and reads no more than its first lines.
pub(crate) async fn begin(house: &House, key: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", house.port())).await.unwrap();
    let request = format!("GET /v1/events/export HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut some = vec![0; 100_000];
    stream.read_exact(&mut some).await.unwrap();
    assert!(some.starts_with(b"HTTP/1.1 200"));
    stream
}

/// Reads what still comes of an export, which must not end like a whole. Returns how much it was.
pub(crate) async fn rest_of_broken(mut stream: TcpStream) -> usize {
    let mut rest = Vec::new();
    let ended = stream.read_to_end(&mut rest).await;
    assert!(ended.is_err() || !rest.ends_with(b"0\r\n\r\n"), "it must not end like a whole");
    rest.len()
}

#[tokio::test]
async fn every_event_is_exported_once_newest_first_one_a_line() {
    let house = House::new().await;
    house.publish_many(1_234, 10).await;
    let payload = "{\"type\":\"last\",\r\n\"text\":\"a\\nb\", \"n\": 1e400}";
    let last = house.publish(payload).await;
    let reply = house.client.get("/v1/events/export").await;
    assert_eq!((reply.status, reply.header("content-type")), (200, "application/x-ndjson"));
    let text = String::from_utf8_lossy(&reply.body).into_owned();
    let first = text.lines().next().unwrap();
    assert!(first.contains("\"payload\":{\"type\":\"last\",  \"text\":\"a\\nb\", \"n\": 1e400}"), "{first}");
    let ids: Vec<&str> = text.lines().map(|line| &line[13..49]).collect();
    assert_eq!((ids.len(), ids[0]), (1_236, last.as_str()));
    assert!(ids.is_sorted_by(|one, next| one > next), "newest first, none twice");
}

#[tokio::test]
async fn an_export_takes_the_filters_of_the_list_and_erased_payloads_are_null() {
    let house = House::new().await;
    let wanted = house.publish(r#"{"type":"a","order":{"id":42}}"#).await;
    house.publish(r#"{"type":"a","order":{"id":43}}"#).await;
    house.publish(r#"{"type":"b","order":{"id":42}}"#).await;
    let export =
        async |query: &str| lines(&house.client.get(&format!("/v1/events/export{query}")).await.body);
    assert_eq!(export("").await.len(), 3);
    assert_eq!(export("?type=a&status=PENDING").await.len(), 2);
    let found = export("?type=a&payload=order.id:42").await;
    assert_eq!((found.len(), &found[0]["event_id"]), (1, &Value::from(wanted.as_str())));
    assert_eq!(export("?status=DELIVERED").await.len(), 0);
    house.client.delete(&format!("/v1/events/{wanted}/content")).await;
    assert_eq!(export("?status=CANCELLED").await[0]["payload"], Value::Null);
    for query in ["?limit=5", "?next_token=x", "?status=x", "?payload=x"] {
        problem(&house.client.get(&format!("/v1/events/export{query}")).await, 400, "invalid_query");
    }
    let (_, globex) = house.tenant("globex").await;
    assert_eq!(globex.get("/v1/events/export").await.body.len(), 0);
    let head = house.client.send(http::Method::HEAD, "/v1/events/export", "", &[]).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
}

#[tokio::test]
async fn an_export_that_fails_midway_breaks_off_and_holds_nothing_while_nobody_reads() {
    let house = House::new().await;
    // More than every buffer on the way holds.
    house.publish_many(600, 200_000).await;
    let stream = begin(&house, &house.acme.api_key).await;
    // The client reads no more; the stream waits for it without a connection to the database.
    eventually("no statement runs and no transaction is open", async || {
        let busy = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state <> 'idle' AND pid <> pg_backend_pid()";
        (house.database.text(busy).await == "0").then_some(())
    })
    .await;
    house.database.break_by("ALTER TABLE trunkline.payloads RENAME TO elsewhere").await;
    assert!(rest_of_broken(stream).await < 600 * 200_000);
}

#[tokio::test]
async fn an_export_whose_client_is_still_ends_and_makes_room() {
    let house = House::with(|settings| settings.clients.body_timeout = Duration::from_secs(1)).await;
    house.publish_many(60, 256 * 1_024).await;
    let key = &house.acme.api_key;
    let still = [begin(&house, key).await, begin(&house, key).await];
    // Nothing is sent on them either: a byte from the client, and the kernel takes it for one that is there.
    eventually("there is room for another", async || {
        (house.client.get("/v1/events/export?type=none").await.status == 200).then_some(())
    })
    .await;
    drop(still);
}

#[tokio::test]
async fn a_tenant_runs_two_exports_at_one_time_and_others_have_their_own() {
    let house = House::new().await;
    house.publish_many(60, 256 * 1_024).await;
    let (first, _second) =
        (begin(&house, &house.acme.api_key).await, begin(&house, &house.acme.api_key).await);
    let third = house.client.get("/v1/events/export?type=none").await;
    problem(&third, 429, "too_many_exports");
    assert_eq!(third.header("retry-after"), "5");
    let (_, globex) = house.tenant("globex").await;
    assert_eq!(globex.get("/v1/events/export").await.status, 200);
    drop(first);
    eventually("one that ends makes room", async || {
        (house.client.get("/v1/events/export?type=none").await.status == 200).then_some(())
    })
    .await;
}
