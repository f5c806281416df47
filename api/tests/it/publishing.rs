//! An event comes in: byte for byte, with its type, and only once it is durable.

use http::Method;

use crate::house::{House, problem, uuid};

#[tokio::test]
async fn an_event_is_stored_byte_for_byte_with_its_delivery() {
    let house = House::new().await;
    let payload =
        "{\"type\":\"order.created\",\n  \"n\": 1e999999, \"s\":\"caf\\u00e9 \u{1f600}\",\"z\":\"\\u0000\"}";
    let reply = house.client.post("/v1/events", payload).await;
    assert_eq!(reply.status, 201);
    assert_eq!(reply.json()["status"], "PENDING");
    let id = reply.json()["event_id"].as_str().unwrap().to_owned();
    assert_eq!(reply.header("location"), format!("/v1/events/{id}"));
    assert!(reply.header("ratelimit").starts_with("\"tenant\";r="));
    let kept = format!(
        "SELECT payload = decode('{}', 'hex') FROM trunkline.payloads WHERE event_id = '{}'",
        hex(payload),
        uuid(&id)
    );
    assert_eq!(house.database.text(&kept).await, "t");
    let facts = format!(
        "SELECT type || ' ' || payload_bytes || ' ' || (payload_sha256 = sha256(decode('{}', 'hex'))) FROM trunkline.events",
        hex(payload)
    );
    assert_eq!(house.database.text(&facts).await, format!("order.created {} true", payload.len()));
    let shown = house.client.get(&format!("/v1/events/{id}")).await;
    assert!(String::from_utf8_lossy(&shown.body).contains(payload), "shown as it was sent");
}

#[tokio::test]
async fn the_type_comes_from_the_header_then_type_then_event() {
    let house = House::new().await;
    let typed = async |header: Option<&str>, payload: &'static str| {
        let mut headers = vec![("content-type", "application/json; charset=UTF-8")];
        headers.extend(header.map(|value| ("Trunkline-Event-Type", value)));
        let reply = house.client.send(Method::POST, "/v1/events", payload, &headers).await;
        let id = reply.json()["event_id"].as_str().unwrap().to_owned();
        house.client.get(&format!("/v1/events/{id}")).await.json()["event"]["type"].clone()
    };
    assert_eq!(typed(Some("from.header"), r#"{"type":"from.type"}"#).await, "from.header");
    assert_eq!(typed(None, r#"{"event":"from.event","type":"from.type"}"#).await, "from.type");
    assert_eq!(typed(None, r#"{"event":"from.event","type":7}"#).await, "from.event");
    assert!(typed(None, "{}").await.is_null());
}

#[tokio::test]
async fn an_event_that_no_endpoint_takes_is_kept_as_unrouted() {
    let house = House::new().await;
    house.database.execute("UPDATE trunkline.endpoints SET event_types = '{invoice.*,order.paid}'").await;
    for (event_type, status) in [
        ("order.created", "UNROUTED"),
        ("order.paid", "PENDING"),
        ("invoice.sent", "PENDING"),
        ("invoice", "UNROUTED"),
    ] {
        let reply = house.client.post("/v1/events", format!("{{\"type\":\"{event_type}\"}}")).await;
        assert_eq!(
            (reply.status, &reply.json()["status"]),
            (201, &serde_json::json!(status)),
            "{event_type}"
        );
    }
}

#[tokio::test]
async fn a_trace_context_is_kept_if_it_is_one() {
    let house = House::new().await;
    let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for (value, kept) in [(good, good), ("00-xyz", ""), (&good.to_uppercase(), "")] {
        let headers = [("content-type", "application/json"), ("traceparent", value)];
        let reply = house.client.send(Method::POST, "/v1/events", "{}", &headers).await;
        let id = reply.json()["event_id"].as_str().unwrap().to_owned();
        let sql = format!("SELECT traceparent FROM trunkline.events WHERE event_id = '{}'", uuid(&id));
        assert_eq!(house.database.text(&sql).await, kept, "{value}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_publishers_at_once_are_all_answered_and_all_stored() {
    let house = House::new().await;
    let payloads: Vec<_> = (0..200).map(|number| format!("{{\"n\":{number}}}")).collect();
    let replies =
        futures_util::future::join_all(payloads.iter().map(|payload| house.post_event(payload))).await;
    let statuses: Vec<_> = replies.iter().map(|reply| reply.status).collect();
    assert!(statuses.iter().all(|status| *status == 201), "{statuses:?}");
    let stored: u32 = house.database.text("SELECT count(*) FROM trunkline.events").await.parse().unwrap();
    assert!(stored >= 200, "{stored} stored of 200 acknowledged");
    let halves = "SELECT count(*) FROM trunkline.events AS e FULL JOIN trunkline.payloads AS p USING (lane, tenant_id, event_id)
        FULL JOIN trunkline.deliveries AS d USING (lane, tenant_id, event_id) WHERE e.type IS NULL AND (p.payload IS NULL OR d.status IS NULL)";
    assert_eq!(house.database.text(halves).await, "0", "nothing is half stored");
}

#[tokio::test]
async fn a_suspended_tenant_reads_but_does_not_publish() {
    let house = House::new().await;
    let id = house.publish("{}").await;
    house.database.execute("UPDATE trunkline.tenants SET status = 'SUSPENDED'").await;
    trunkline_testkit::eventually("the suspension is seen", async || {
        let reply = house.client.post("/v1/events", "{}").await;
        (reply.status != 201).then(|| problem(&reply, 403, "tenant_suspended"))
    })
    .await;
    assert_eq!(house.client.get(&format!("/v1/events/{id}")).await.status, 200);
}

#[tokio::test]
async fn a_stop_answers_what_was_asked() {
    let house = House::new().await;
    let asking = (0..20).map(|_| house.client.post("/v1/events", "{}"));
    let replies = futures_util::future::join_all(asking).await;
    assert!(replies.iter().all(|reply| reply.status == 201));
    house.stop().await;
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}
