//! What an endpoint may be set to: every rule when it is saved, filters also when events come.

use std::time::Duration;

use serde_json::{Value, json};

use crate::endpoints::{create, path};
use crate::house::{House, problem};

fn wanted(field: &str, value: Value) -> String {
    let mut body = json!({"name": "shop", "url": "https://example.com/"});
    body[field] = value;
    body.to_string()
}

#[tokio::test]
async fn every_rule_is_held_when_it_is_saved_and_names_its_field() {
    let house = House::new().await;
    let endpoint = create(&house.client, &json!({"name": "there", "url": "https://example.com/"})).await;
    let before = house.stored().await;
    let many = |count: usize| (0..count).map(|number| format!("t{number}")).collect::<Vec<_>>();
    let bad = [
        ("name", json!("")),
        ("name", json!("n".repeat(101))),
        ("name", json!("a\u{0}b")),
        ("name", json!("operational")),
        ("url", json!("ftp://example.com/")),
        ("url", json!("http://127.0.0.2:22/")),
        ("url", json!("http://169.254.169.254/latest")),
        ("url", json!("https://user:pass@example.com/")),
        ("description", json!("d".repeat(501))),
        ("description", json!("\u{0}")),
        ("metadata", json!({"k": "v".repeat(501)})),
        ("metadata", json!({"": "v"})),
        ("event_types", json!([])),
        ("event_types", json!(many(101))),
        ("event_types", json!(["order*"])),
        ("payload_filter", json!("")),
        ("payload_filter", json!("x".repeat(1025))),
        ("custom_headers", json!({"content-type": "text/plain"})),
        ("custom_headers", json!({"Webhook-Id": "x"})),
        ("custom_headers", json!({"x": "a\r\nb: c"})),
        ("custom_headers", json!({"X-A": "1", "x-a": "2"})),
        ("custom_headers", json!({"x-a": "***"})),
        ("timeout_ms", json!(999)),
        ("timeout_ms", json!(20001)),
        ("retry_schedule_ms", json!(vec![1000; 21])),
        ("retry_schedule_ms", json!([999])),
        ("retry_schedule_ms", json!([604_800_001])),
        ("rate_per_second", json!(0)),
        ("rate_per_second", json!(10001)),
        ("in_flight_max", json!(0)),
        ("in_flight_max", json!(1001)),
        ("webhook_secret", json!("short")),
    ];
    for (field, value) in bad {
        let created = house.client.post("/v1/endpoints", wanted(field, value.clone())).await;
        assert_eq!(problem(&created, 422, "invalid_field")["errors"][0]["field"], field, "{value}");
        let changed = house.client.patch(&path(&endpoint), json!({field: value}).to_string()).await;
        assert_eq!(problem(&changed, 422, "invalid_field")["errors"][0]["field"], field, "{value}");
    }
    let malformed = [
        ("metadata", json!({"k": 1})),
        ("metadata", json!([])),
        ("event_types", json!("order.*")),
        ("timeout_ms", json!(-1)),
        ("timeout_ms", json!("5000")),
        ("ordering", json!("strict")),
        ("endpoint_id", json!("ep_x")),
        ("enabled", json!(true)),
    ];
    for (field, value) in malformed {
        problem(&house.client.post("/v1/endpoints", wanted(field, value.clone())).await, 422, "invalid_body");
        problem(
            &house.client.patch(&path(&endpoint), json!({field: value}).to_string()).await,
            422,
            "invalid_body",
        );
    }
    let twice = r#"{"name":"shop","url":"https://example.com/","metadata":{"a":"1","a":"2"}}"#;
    problem(&house.client.post("/v1/endpoints", twice).await, 422, "invalid_body");
    assert_eq!(house.stored().await, before, "nothing was stored");
    assert_eq!(house.client.get(&path(&endpoint)).await.json()["endpoint"], endpoint, "nothing changed");
}

#[tokio::test]
async fn the_edges_of_every_rule_are_accepted() {
    let house = House::new().await;
    let headers: serde_json::Map<String, Value> =
        (0..20).map(|number| (format!("x-{number}"), json!("v".repeat(1000)))).collect();
    let types: Vec<_> = (0..100).map(|number| format!("t{number}.*")).collect();
    let good = [
        ("name", json!("ü".repeat(100))),
        ("description", json!("d".repeat(500))),
        ("metadata", json!({"k".repeat(64): "v".repeat(500)})),
        ("event_types", json!(types)),
        ("custom_headers", Value::Object(headers)),
        ("timeout_ms", json!(1000)),
        ("timeout_ms", json!(20000)),
        ("retry_schedule_ms", json!([])),
        ("retry_schedule_ms", json!(vec![604_800_000; 20])),
        ("rate_per_second", json!(10000)),
        ("in_flight_max", json!(1000)),
        ("ordering", json!("skip")),
    ];
    let endpoint = create(&house.client, &json!({"name": "there", "url": "https://example.com/"})).await;
    for (field, value) in good {
        let changed = house.client.patch(&path(&endpoint), json!({field: value}).to_string()).await;
        assert_eq!(changed.status, 200, "{field}: {}", String::from_utf8_lossy(&changed.body));
        if field != "custom_headers" {
            assert_eq!(changed.json()["endpoint"][field], value, "{field}");
        }
    }
}

#[tokio::test]
async fn a_deadline_leaves_what_lease_and_drain_need() {
    let house = House::with(|settings| settings.worker.drain = Duration::from_secs(12)).await;
    let refused = house.client.post("/v1/endpoints", wanted("timeout_ms", json!(10001))).await;
    assert!(problem(&refused, 422, "invalid_field")["detail"].as_str().unwrap().contains("1000 to 10000"));
    assert_eq!(house.client.post("/v1/endpoints", wanted("timeout_ms", json!(10000))).await.status, 201);
}

#[tokio::test]
async fn a_filter_is_a_predicate_or_is_refused_with_the_servers_complaint() {
    let house = House::new().await;
    let endpoint = create(&house.client, &json!({"name": "there", "url": "https://example.com/"})).await;
    let save = async |filter: &str| {
        house.client.patch(&path(&endpoint), json!({"payload_filter": filter}).to_string()).await
    };
    for good in [
        "$.a == 1",
        "exists($.a)",
        "strict $.a == 1",
        "lax $.a.b[*] > 3 && !($.c == \"x\")",
        "exists($.a ? (@ > 1))",
        "$.a starts with \"x\"",
        "($.a == 1) is unknown",
        "$.a == \")\" || $.b == \"(\"",
        "$.a\n== 1",
        "exists($.items[*] ? (@.price > 100 && exists(@.tags[*] ? (@ == \"vip\"))))",
        "$.items[0 to last].price == 1",
        "$.items[last - 1].price == 1",
        "\"x\" == $.a && true == $.b",
        "$.cents / 100 > 5 && $.a + $.b > 1",
        "$.at.datetime() < \"2026-06-01\".datetime()",
        "strict $.total > $.limit",
        "strict exists($.order ? (@.total > $.limit))",
        "$.\"$\" == \" == $.b ?( .** \"",
    ] {
        let saved = save(good).await;
        assert_eq!(saved.status, 200, "{good}: {}", String::from_utf8_lossy(&saved.body));
        assert_eq!(saved.json()["endpoint"]["payload_filter"], good);
    }
    for bad in [
        "$.a",
        "$.a ? (@ > 1)",
        "1",
        "true",
        "null",
        "$.a.size()",
        "$.a ==",
        "$.a = 1",
        "($.a == 1",
        "$.a == 1) is unknown || ($.b == 1",
        "nonsense",
        "$x == 1",
        // What could cost more than the payload is long.
        "$.a == $.b",
        "$.a > 1 && ($.b == 1 || $.c == $.d)",
        "$.a[*] ? (@ == $.b[*]) == 1",
        "exists($.a ? ($.b == 1))",
        "exists($.a ? (exists(@.b ? (@ > 1)) && exists($.c)))",
        "strict $.a[*] == $.b",
        "strict $.a[0 to 9] == $.b",
        "exists($.** ? (@ == 1))",
        "$.**{1 to 2}.a == 1",
        "$.a.keyvalue().key == \"x\"",
        "$[0, 0][0, 0][0, 0] == 1",
        "$.a[$.b] == 1",
        "$.a * $.b == 1",
        "2 * $.a == 1",
        "$.a % $.b == 1",
        "$.a == 1e131071",
        &format!("$.a{} == 1", " + 1".repeat(20)),
        &format!(
            "$.a.datetime() == \"2026\".datetime(){}",
            " || $.a.datetime() == \"2026\".datetime()".repeat(23)
        ),
        "$.a like_regex \"x\"",
        "$.a like\\u005fregex \"x\"",
        "'; DROP TABLE trunkline.events; --",
        r#""2026-01-01T00:00:00+01:00".datetime() < "2026-06-01".datetime()"#,
    ] {
        let refused = problem(&save(bad).await, 422, "invalid_field");
        assert_eq!(refused["errors"][0]["field"], "payload_filter", "{bad}");
        assert!(refused["detail"].as_str().unwrap().len() > 40, "{refused}");
    }
    let hint = problem(&save("$.a ? (@ > 1)").await, 422, "invalid_field");
    assert!(hint["detail"].as_str().unwrap().contains("exists("), "{hint}");
}

#[tokio::test]
async fn a_saved_filter_and_types_decide_which_events_an_endpoint_gets() {
    let house = House::new().await;
    house.client.post(&format!("/v1/endpoints/{}/disable", house.acme.endpoint_id), "").await;
    let settings = json!({"name": "shop", "url": "https://example.com/", "event_types": ["order.*"], "payload_filter": "$.total > 100"});
    let endpoint = create(&house.client, &settings).await;
    let publish =
        async |payload: &str| house.post_event(payload).await.json()["status"].as_str().unwrap().to_owned();
    assert_eq!(publish(r#"{"type":"order.created","total":101}"#).await, "PENDING");
    assert_eq!(publish(r#"{"type":"order.created","total":100}"#).await, "UNROUTED");
    assert_eq!(publish(r#"{"type":"invoice.paid","total":101}"#).await, "UNROUTED");
    house.client.patch(&path(&endpoint), r#"{"payload_filter":null,"event_types":null}"#).await;
    assert_eq!(publish(r#"{"type":"invoice.paid","total":1}"#).await, "PENDING");
}
