//! Reading: pages, filters, one event, its attempts.

use std::collections::HashSet;

use serde_json::{Value, json};
use trunkline_testkit::Client;

use crate::house::{House, problem};
use crate::retention::dead_letter;

/// Follows `next_token` to the end; calls `between` after each page.
async fn all_pages(client: &Client, path: &str, mut between: impl AsyncFnMut()) -> Vec<String> {
    let mut seen = Vec::new();
    let mut token: Option<String> = None;
    loop {
        let join = if path.contains('?') { '&' } else { '?' };
        let page = client
            .get(&token.as_ref().map_or(path.to_owned(), |token| format!("{path}{join}next_token={token}")))
            .await;
        assert_eq!(page.status, 200, "{}", String::from_utf8_lossy(&page.body));
        let json = page.json();
        let events = json["events"].as_array().unwrap();
        assert_eq!(json["total_count"], events.len());
        seen.extend(events.iter().map(|event| event["event_id"].as_str().unwrap().to_owned()));
        between().await;
        match json["next_token"].as_str() {
            None => {
                assert_eq!(page.header("link"), "");
                return seen;
            }
            Some(next) => {
                assert!(page.header("link").contains(next) && page.header("link").ends_with("rel=\"next\""));
                token = Some(next.to_owned());
            }
        }
    }
}

#[tokio::test]
async fn paging_while_events_arrive_shows_each_earlier_event_once() {
    let house = House::new().await;
    let mut before = Vec::new();
    for number in 0..25 {
        before.push(house.publish(&format!("{{\"n\":{number}}}")).await);
    }
    let seen = all_pages(&house.client, "/v1/events?limit=10", async || {
        house.publish(r#"{"late":true}"#).await;
    })
    .await;
    before.reverse();
    assert_eq!(seen, before, "newest first, none twice, none missed, none that came later");
}

#[tokio::test]
async fn pages_go_on_from_the_last_day_into_those_before() {
    let house = House::new().await;
    let mut expected = Vec::new();
    for days_ago in [9, 4, 2] {
        expected.push(dead_letter(&house, days_ago, "kind.old").await);
    }
    for _ in 0..2 {
        expected.push(house.publish("{}").await);
    }
    expected.reverse();
    let ids = async |query: &str| all_pages(&house.client, &format!("/v1/events?{query}"), async || {}).await;
    for limit in 1..=6 {
        assert_eq!(ids(&format!("limit={limit}")).await, expected, "{limit} a page");
    }
    assert_eq!(ids("type=kind.old&limit=2").await, expected[2..]);
    assert_eq!(ids("status=FAILED&limit=2").await, expected[2..]);
    assert_eq!(ids("status=PENDING&limit=1").await, expected[..2]);
}

#[tokio::test]
async fn filters_find_what_they_name_and_tokens_belong_to_them() {
    let house = House::new().await;
    let mut by_status = Vec::new();
    for status in ["FAILED", "DELIVERED", "DEAD"] {
        let id = house.publish(&format!("{{\"type\":\"kind.{}\"}}", status.to_lowercase())).await;
        house.set(&id, status).await;
        by_status.push(id);
    }
    let pending = house.publish("{}").await;
    let ids = async |query: &str| all_pages(&house.client, &format!("/v1/events?{query}"), async || {}).await;
    assert_eq!(ids("status=FAILED&limit=1").await, [by_status[2].clone(), by_status[0].clone()]);
    assert_eq!(ids("status=DELIVERED").await, [by_status[1].clone()]);
    assert_eq!(ids("status=PENDING").await, std::slice::from_ref(&pending));
    assert_eq!(ids("status=UNROUTED").await, [""; 0]);
    assert_eq!(ids("type=kind.dead").await, [by_status[2].clone()]);
    assert_eq!(ids("type=kind.dead&status=PENDING").await, [""; 0]);
    let endpoint = house.acme.endpoint_id;
    assert_eq!(ids(&format!("endpoint_id={endpoint}&limit=2")).await.len(), 4, "all were delivered there");
    assert_eq!(ids("endpoint_id=ep_01a20ada2c007abc8123456789abcdef").await, [""; 0]);

    let created =
        house.client.get(&format!("/v1/events/{}", by_status[1])).await.json()["event"]["created_at"]
            .as_str()
            .unwrap()
            .to_owned();
    assert_eq!(ids(&format!("after={created}")).await, [pending.clone(), by_status[2].clone()], "exclusive");
    assert_eq!(ids(&format!("before={created}")).await, [by_status[0].clone()], "exclusive");

    let token =
        house.client.get("/v1/events?limit=1").await.json()["next_token"].as_str().unwrap().to_owned();
    problem(
        &house.client.get(&format!("/v1/events?status=FAILED&next_token={token}")).await,
        400,
        "invalid_query",
    );
    let (_, other) = house.tenant("globex").await;
    problem(&other.get(&format!("/v1/events?limit=1&next_token={token}")).await, 400, "invalid_query");
    let mut forged = token.clone();
    forged.replace_range(0..1, if token.starts_with('A') { "B" } else { "A" });
    problem(
        &house.client.get(&format!("/v1/events?limit=1&next_token={forged}")).await,
        400,
        "invalid_query",
    );
}

#[tokio::test]
async fn a_filter_that_finds_little_gives_short_pages_and_goes_on() {
    let house = House::new().await;
    let wanted = house.publish(r#"{"type":"needle"}"#).await;
    let many = "INSERT INTO trunkline.events (lane, tenant_id, event_id, type, payload_sha256, payload_bytes, created_at, routed)
        SELECT e.lane, e.tenant_id, trunkline.uuid_v7(now() + n * interval '1 millisecond'), 'hay', e.payload_sha256, 2, now() + n * interval '1 millisecond', false
        FROM trunkline.events AS e, generate_series(1, 2500) AS n";
    house.database.execute(many).await;
    let mut pages = 0;
    let found = all_pages(&house.client, "/v1/events?type=needle", async || pages += 1).await;
    assert_eq!(found, [wanted]);
    assert_eq!(pages, 3, "a page looks at a thousand events");
}

#[tokio::test]
async fn an_event_has_the_fields_of_the_contract() {
    let house = House::new().await;
    let id = house.publish(r#"{"type":"order.created"}"#).await;
    house.set(&id, "FAILED").await;
    let head = house.client.send(http::Method::HEAD, &format!("/v1/events/{id}"), "", &[]).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    let event = house.client.get(&format!("/v1/events/{id}")).await.json()["event"].clone();
    let keys: HashSet<&str> = event.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = HashSet::from([
        "event_id",
        "type",
        "status",
        "created_at",
        "attempts",
        "last_attempt_at",
        "next_attempt_at",
        "payload",
        "deliver_at",
        "ordering_key",
        "payload_erased_at",
        "target_url",
        "error_message",
        "deliveries",
    ]);
    assert_eq!(keys, expected);
    assert_eq!(event["target_url"], "http://127.0.0.1:9999/hook");
    assert_eq!(event["error_message"], "the endpoint answered 500");
    assert!(event["next_attempt_at"].is_string());
    assert!(event["created_at"].as_str().unwrap().ends_with('Z'), "UTC");
    let delivery = &event["deliveries"][0];
    assert_eq!(
        (&delivery["status"], &delivery["attempts"], &delivery["last_status_code"]),
        (&Value::from("FAILED"), &Value::from(1), &Value::from(500))
    );
    let listed = house.client.get("/v1/events").await.json()["events"][0].clone();
    let keys: HashSet<&str> = listed.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        HashSet::from([
            "event_id",
            "type",
            "status",
            "created_at",
            "attempts",
            "last_attempt_at",
            "next_attempt_at"
        ])
    );
}

#[tokio::test]
async fn attempts_are_shown_in_order_with_what_was_answered() {
    let house = House::new().await;
    let id = house.publish("{}").await;
    house.database.execute("INSERT INTO trunkline.attempts (lane, tenant_id, event_id, endpoint_id, attempt, started_at, duration_ms, status_code, outcome, error, response_excerpt, response_headers, url)
        SELECT lane, tenant_id, event_id, endpoint_id, n, now() + n * interval '1 second', 12, 500, 'rejected', 'no', '\\x3c623eff', convert_to(E'server: nginx\\nx-a: b: c\\n', 'UTF8'), 'http://127.0.0.1:9999/hook'
        FROM trunkline.deliveries, generate_series(1, 2) AS n").await;
    let json = house.client.get(&format!("/v1/events/{id}/attempts")).await.json();
    let numbers: Vec<_> =
        json["attempts"].as_array().unwrap().iter().map(|one| one["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [1, 2]);
    assert_eq!(json["attempts"][0]["response_excerpt"], "<b>\u{fffd}");
    let headers = json!([{"name": "server", "value": "nginx"}, {"name": "x-a", "value": "b: c"}]);
    assert_eq!(json["attempts"][0]["response_headers"], headers);
    assert_eq!(
        (&json["attempts"][0]["outcome"], &json["attempts"][0]["duration_ms"]),
        (&Value::from("rejected"), &Value::from(12))
    );
    assert!(json.get("next_token").is_none());

    // Page by page it is the same.
    let first = house.client.get(&format!("/v1/events/{id}/attempts?limit=1")).await.json();
    let token = first["next_token"].as_str().unwrap_or_else(|| panic!("{first}"));
    let second =
        house.client.get(&format!("/v1/events/{id}/attempts?limit=1&next_token={token}")).await.json();
    assert_eq!(json!([first["attempts"][0], second["attempts"][0]]), json["attempts"]);
    assert!(second.get("next_token").is_none(), "{second}");
    let other = house.publish("{}").await;
    let foreign = house.client.get(&format!("/v1/events/{other}/attempts?next_token={token}")).await;
    problem(&foreign, 400, "invalid_query");
}

#[tokio::test]
async fn an_attempt_shows_the_request_with_secrets_masked() {
    let house = House::new().await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let headers = [("content-type", "application/json"), ("traceparent", trace)];
    let published =
        house.client.send(http::Method::POST, "/v1/events", r#"{"type":"order.created"}"#, &headers).await;
    let id = published.json()["event_id"].as_str().unwrap().to_owned();
    house
        .database
        .execute("UPDATE trunkline.endpoints SET custom_headers = '{\"X-Token\": \"canary\"}'")
        .await;
    house.database.execute("INSERT INTO trunkline.attempts (lane, tenant_id, event_id, endpoint_id, attempt, started_at, outcome, url)
        SELECT lane, tenant_id, event_id, endpoint_id, n, now() + n * interval '1 second', 'timeout', CASE WHEN n = 1 THEN 'http://127.0.0.1:9999/hook?a=b' END
        FROM trunkline.deliveries, generate_series(1, 2) AS n").await;
    let reply = house.client.get(&format!("/v1/events/{id}/attempts")).await;
    assert!(!String::from_utf8_lossy(&reply.body).contains("canary"));
    let json = reply.json();
    let request = &json["attempts"][0]["request"];
    assert_eq!(
        (&request["method"], &request["url"]),
        (&Value::from("POST"), &Value::from("http://127.0.0.1:9999/hook?a=b"))
    );
    let headers: Vec<(&str, &str)> = request["headers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|header| (header["name"].as_str().unwrap(), header["value"].as_str().unwrap()))
        .collect();
    for expected in [
        ("host", "127.0.0.1:9999"),
        ("content-type", "application/json"),
        ("webhook-id", id.as_str()),
        ("trunkline-attempt", "1"),
        ("trunkline-event-type", "order.created"),
        ("traceparent", trace),
        ("stripe-signature", "***"),
        ("webhook-signature", "***"),
        ("x-token", "***"),
    ] {
        assert!(headers.contains(&expected), "{expected:?} is not in {headers:?}");
    }
    assert!(json["attempts"][1]["request"].is_null(), "nobody knows what was called");
}

#[tokio::test]
async fn events_are_found_by_a_member_of_their_payload() {
    let house = House::new().await;
    let mut wanted = Vec::new();
    for number in 0..60 {
        let id = house.publish(&format!("{{\"order\":{{\"id\":{},\"to\":\"jo:1\"}}}}", number % 20)).await;
        if number % 20 == 7 {
            wanted.push(id);
        }
    }
    wanted.reverse();
    let ids = async |query: &str| all_pages(&house.client, &format!("/v1/events?{query}"), async || {}).await;
    assert_eq!(ids("payload=order.id:7").await, wanted);
    assert_eq!(ids("payload=order.id:7&limit=1").await, wanted, "page by page");
    assert_eq!(ids("payload=order.to:jo:1&limit=100").await.len(), 60, "the first colon separates");
    assert_eq!(ids("payload=order.id:70").await, [""; 0]);
    let page = house.client.get("/v1/events?payload=order.id:7&limit=1").await.json();
    let token = page["next_token"].as_str().unwrap();
    for other in ["payload=order.id:8", "", "type=x"] {
        let path = format!("/v1/events?{other}&limit=1&next_token={token}");
        problem(&house.client.get(&path).await, 400, "invalid_query");
    }
    problem(&house.client.get("/v1/events?payload=7").await, 400, "invalid_query");
}
