//! Endpoints: created, shown without secrets, changed field by field, deleted with what waits for them.

use serde_json::{Value, json};
use trunkline_testkit::{Client, Reply, eventually};

use crate::house::{House, problem, uuid};

/// Creates an endpoint and returns it.
pub(crate) async fn create(client: &Client, settings: &Value) -> Value {
    let reply = client.post("/v1/endpoints", settings.to_string()).await;
    assert_eq!(reply.status, 201, "{}", String::from_utf8_lossy(&reply.body));
    reply.json()["endpoint"].clone()
}

/// The path of an endpoint.
pub(crate) fn path(endpoint: &Value) -> String {
    format!("/v1/endpoints/{}", endpoint["endpoint_id"].as_str().unwrap())
}

fn full() -> Value {
    json!({
        "name": "shop",
        "url": "HTTPS://Example.com:443/hooks",
        "description": "orders to the shop",
        "metadata": {"team": "shop"},
        "event_types": ["order.*", "invoice.paid"],
        "payload_filter": "$.total > 100",
        "custom_headers": {"Authorization": "Bearer canary", "X-Team": "canary"},
        "timeout_ms": 5000,
        "retry_schedule_ms": [1000, 2000],
        "rate_per_second": 50,
        "in_flight_max": 4,
        "ordering": "block",
    })
}

#[tokio::test]
async fn an_endpoint_is_created_with_all_settings_and_its_secrets_are_shown_once() {
    let house = House::new().await;
    let reply = house.client.post("/v1/endpoints", full().to_string()).await;
    let created = reply.json();
    assert_eq!((reply.status, reply.header("location")), (201, path(&created["endpoint"]).as_str()));
    assert!(created["webhook_secret"].as_str().unwrap().starts_with("whsec_"));
    let mut expected = full();
    expected["url"] = json!("https://example.com/hooks");
    expected["custom_headers"] = json!({"authorization": "***", "x-team": "***"});
    let shown = house.client.get(&path(&created["endpoint"])).await;
    let endpoint = shown.json()["endpoint"].clone();
    assert_eq!(created["endpoint"], endpoint);
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&endpoint[name], value, "{name}");
    }
    let state = json!({"enabled": true, "disabled_reason": null, "paused": false, "paused_until": null, "operational": false,
        "failing_since": null, "breaker_open_until": null});
    for (name, value) in state.as_object().unwrap() {
        assert_eq!(&endpoint[name], value, "{name}");
    }
    assert!(endpoint["created_at"].is_string() && endpoint["updated_at"].is_string());
    let list = house.client.get("/v1/endpoints").await;
    for reply in [&reply, &shown, &list] {
        assert!(!String::from_utf8_lossy(&reply.body).contains("canary"), "values of headers are not shown");
    }
    for reply in [&shown, &list] {
        assert!(!String::from_utf8_lossy(&reply.body).contains("whsec_"));
    }
    let kept = "SELECT custom_headers->>'authorization' FROM trunkline.endpoints WHERE name = 'shop'";
    let kept = house.database.text(kept).await;
    assert!(kept.starts_with("sealed:test:"), "{kept}");
    let endpoint_id = shown.json()["endpoint"]["endpoint_id"].as_str().unwrap().parse().unwrap();
    let opened = trunkline_testkit::vault(&house.settings).open_header(
        &house.acme.tenant_id,
        endpoint_id,
        "authorization",
        &kept,
    );
    assert_eq!(opened.unwrap().as_str(), "Bearer canary");
}

#[tokio::test]
async fn a_new_endpoint_needs_only_a_name_and_a_url() {
    let house = House::new().await;
    let endpoint = create(&house.client, &json!({"name": "plain", "url": "https://example.com/"})).await;
    for field in [
        "description",
        "event_types",
        "payload_filter",
        "timeout_ms",
        "retry_schedule_ms",
        "rate_per_second",
        "in_flight_max",
    ] {
        assert_eq!(endpoint[field], json!(null), "{field}");
    }
    assert_eq!((&endpoint["metadata"], &endpoint["custom_headers"]), (&json!({}), &json!({})));
    assert_eq!(endpoint["ordering"], "none");
    let chosen = json!({"name": "mine", "url": "https://example.com/", "webhook_secret": "a-secret-of-our-own-choice"});
    let reply = house.client.post("/v1/endpoints", chosen.to_string()).await;
    assert_eq!(reply.json()["webhook_secret"], "a-secret-of-our-own-choice");
    let missing = problem(&house.client.post("/v1/endpoints", r#"{"name":"x"}"#).await, 422, "invalid_field");
    assert_eq!(missing["errors"][0]["field"], "url");
    let missing = house.client.post("/v1/endpoints", r#"{"url":"https://example.com/"}"#).await;
    assert_eq!(problem(&missing, 422, "invalid_field")["errors"][0]["field"], "name");
}

#[tokio::test]
async fn a_name_is_in_use_until_its_endpoint_is_deleted() {
    let house = House::new().await;
    let wanted = json!({"name": "shop", "url": "https://example.com/"});
    let first = create(&house.client, &wanted).await;
    problem(&house.client.post("/v1/endpoints", wanted.to_string()).await, 409, "endpoint_exists");
    let other = create(&house.client, &json!({"name": "other", "url": "https://example.com/"})).await;
    problem(&house.client.patch(&path(&other), r#"{"name":"shop"}"#).await, 409, "endpoint_exists");
    let (_, globex) = house.tenant("globex").await;
    create(&globex, &wanted).await;
    assert_eq!(house.client.delete(&path(&first)).await.status, 200);
    create(&house.client, &wanted).await;
}

#[tokio::test]
async fn a_change_leaves_what_is_absent_and_null_stands_for_the_default() {
    let house = House::new().await;
    let endpoint = create(&house.client, &full()).await;
    let at = path(&endpoint);
    let kept = "SELECT custom_headers->>'x-team' FROM trunkline.endpoints WHERE name = 'shop'";
    let sealed = house.database.text(kept).await;
    let changed =
        house.client.patch(&at, r#"{"description":"new","metadata":{"a":"b"},"timeout_ms":1000}"#).await;
    assert_eq!(changed.status, 200);
    let changed = changed.json()["endpoint"].clone();
    let mut expected = endpoint.clone();
    expected["description"] = json!("new");
    expected["metadata"] = json!({"a": "b"});
    expected["timeout_ms"] = json!(1000);
    expected["updated_at"] = changed["updated_at"].clone();
    assert_eq!(changed, expected, "lists and objects are replaced whole, the rest stays");
    assert_ne!(changed["updated_at"], endpoint["updated_at"]);
    assert_eq!(house.database.text(kept).await, sealed, "headers that were not named stay");
    let same = house
        .client
        .patch(&at, r#"{"custom_headers":{"Authorization":"Bearer canary","X-Team":"canary"}}"#)
        .await;
    assert_eq!(same.json()["endpoint"]["updated_at"], changed["updated_at"], "the same values are no change");
    let other = house.client.patch(&at, r#"{"custom_headers":{"X-Team":"other"}}"#).await;
    assert_eq!(other.json()["endpoint"]["custom_headers"], json!({"x-team": "***"}));
    assert_ne!(house.database.text(kept).await, sealed);

    let nulls = json!({"description": null, "metadata": null, "event_types": null, "payload_filter": null, "custom_headers": null,
        "timeout_ms": null, "retry_schedule_ms": null, "rate_per_second": null, "in_flight_max": null, "ordering": null});
    let cleared = house.client.patch(&at, nulls.to_string()).await.json()["endpoint"].clone();
    let plain = create(&house.client, &json!({"name": "plain", "url": "https://example.com/hooks"})).await;
    for field in nulls.as_object().unwrap().keys() {
        assert_eq!(cleared[field], plain[field], "{field}");
    }
    for field in ["name", "url"] {
        let refused = house.client.patch(&at, json!({field: null}).to_string()).await;
        assert_eq!(problem(&refused, 422, "invalid_field")["errors"][0]["field"], field);
    }
    problem(&house.client.patch(&at, r#"{"enabled":false}"#).await, 422, "invalid_body");
    problem(
        &house.client.patch(&at, r#"{"webhook_secret":"a-secret-of-our-own-choice"}"#).await,
        422,
        "invalid_field",
    );
    assert_eq!(
        house.client.patch(&at, "{}").await.json()["endpoint"],
        cleared,
        "nothing to change changes nothing"
    );
}

#[tokio::test]
async fn endpoints_are_listed_newest_first_in_pages() {
    let house = House::new().await;
    let (_, globex) = house.tenant("globex").await;
    for number in 0..4 {
        create(&house.client, &json!({"name": format!("e{number}"), "url": "https://example.com/"})).await;
    }
    let names = |reply: &Reply| -> Vec<String> {
        let list = reply.json()["endpoints"].as_array().unwrap().clone();
        list.iter().map(|endpoint| endpoint["name"].as_str().unwrap().to_owned()).collect()
    };
    let first = house.client.get("/v1/endpoints?limit=3").await;
    assert_eq!(names(&first), ["e3", "e2", "e1"]);
    assert!(first.header("link").contains("rel=\"next\""));
    let token = first.json()["next_token"].as_str().unwrap().to_owned();
    let rest = house.client.get(&format!("/v1/endpoints?limit=3&next_token={token}")).await;
    assert_eq!(names(&rest), ["e0", "default"]);
    assert_eq!((rest.json().get("next_token"), &rest.json()["total_count"]), (None, &json!(2)));
    problem(&globex.get(&format!("/v1/endpoints?next_token={token}")).await, 400, "invalid_query");
    problem(&house.client.get("/v1/endpoints?limit=0").await, 400, "invalid_query");
    problem(&house.client.get("/v1/endpoints?status=x").await, 400, "invalid_query");
    assert_eq!(names(&globex.get("/v1/endpoints").await), ["default"]);
}

#[tokio::test]
async fn a_tenant_has_a_thousand_endpoints_at_most() {
    let house = House::new().await;
    house
        .database
        .execute(
            "INSERT INTO trunkline.endpoints (tenant_id, endpoint_id, lane, name, url, created_at, updated_at)
             SELECT 'acme', gen_random_uuid(), e.lane, 'e' || n, 'https://example.com/', now(), now()
             FROM trunkline.endpoints AS e, generate_series(1, 998) AS n",
        )
        .await;
    create(&house.client, &json!({"name": "last", "url": "https://example.com/"})).await;
    let wanted = r#"{"name":"one-more","url":"https://example.com/"}"#;
    problem(&house.client.post("/v1/endpoints", wanted).await, 409, "too_many_endpoints");
}

#[tokio::test]
async fn deleting_an_endpoint_cancels_what_waits_for_it_and_keeps_history() {
    let house = House::new().await;
    let endpoint =
        create(&house.client, &json!({"name": "shop", "url": "https://example.com/", "ordering": "skip"}))
            .await;
    let id = uuid(endpoint["endpoint_id"].as_str().unwrap()).to_owned();
    let mut events = Vec::new();
    for _ in 0..4 {
        let headers = [("content-type", "application/json"), ("trunkline-ordering-key", "k")];
        let reply = house.client.send(http::Method::POST, "/v1/events", "{}", &headers).await;
        events.push(reply.json()["event_id"].as_str().unwrap().to_owned());
    }
    let of = |event: &str, change: &str| {
        format!(
            "UPDATE trunkline.deliveries SET {change} WHERE endpoint_id = '{id}' AND event_id = '{}'",
            uuid(event)
        )
    };
    let delivered = "status = 'DELIVERED', due_at = NULL, finished_at = now(), attempts = 1, cycle_attempts = 1, last_attempt_at = now()";
    house.database.execute(&of(&events[0], delivered)).await;
    let leased = "held = false, due_at = now(), attempts = 1, cycle_attempts = 1, lease = 7, leased_until = now() + interval '30 s'";
    house.database.execute(&of(&events[1], leased)).await;

    let deleted = house.client.delete(&path(&endpoint)).await;
    assert_eq!(
        (deleted.status, deleted.json()),
        (200, json!({"endpoint_id": endpoint["endpoint_id"], "cancelled": 3}))
    );
    let statuses = format!(
        "SELECT string_agg(status::text, ' ' ORDER BY event_id) FROM trunkline.deliveries WHERE endpoint_id = '{id}'"
    );
    assert_eq!(house.database.text(&statuses).await, "DELIVERED CANCELLED CANCELLED CANCELLED");
    assert_eq!(
        house.database.text("SELECT string_agg(outcome::text, ' ') FROM trunkline.attempts").await,
        "superseded"
    );
    let secrets = format!("SELECT count(*) FROM trunkline.endpoint_secrets WHERE endpoint_id = '{id}'");
    assert_eq!(house.database.text(&secrets).await, "0");
    problem(&house.client.get(&path(&endpoint)).await, 404, "endpoint_not_found");
    problem(&house.client.delete(&path(&endpoint)).await, 404, "endpoint_not_found");
    assert_eq!(house.client.get("/v1/endpoints").await.json()["total_count"], 1);
    let others = format!(
        "SELECT count(*) FROM trunkline.deliveries WHERE endpoint_id <> '{id}' AND status = 'CANCELLED'"
    );
    assert_eq!(house.database.text(&others).await, "0", "other endpoints' deliveries stay");
    house.publish("{}").await;
    let count = format!("SELECT count(*) FROM trunkline.deliveries WHERE endpoint_id = '{id}'");
    assert_eq!(house.database.text(&count).await, "4", "nothing new matches it");
}

#[tokio::test]
async fn more_than_one_statement_cancels_a_long_backlog() {
    let house = House::new().await;
    let event = house.publish("{}").await;
    house
        .database
        .execute(&format!(
            "INSERT INTO trunkline.deliveries (lane, tenant_id, event_id, endpoint_id, status, due_at, created_at)
             SELECT d.lane, d.tenant_id, trunkline.uuid_v7(now() + n * interval '1 ms'), d.endpoint_id, 'PENDING', now(), now()
             FROM trunkline.deliveries AS d, generate_series(1, 2500) AS n WHERE d.event_id = '{}'",
            uuid(&event)
        ))
        .await;
    let deleted = house.client.delete(&format!("/v1/endpoints/{}", house.acme.endpoint_id)).await;
    assert_eq!(deleted.json()["cancelled"], 2501);
}

#[tokio::test]
async fn a_test_event_goes_to_its_endpoint_alone_past_filter_and_pause() {
    let house = House::new().await;
    let settings = json!({"name": "shop", "url": "https://example.com/", "event_types": ["order.*"], "payload_filter": "$.never == 1"});
    let endpoint = create(&house.client, &settings).await;
    house.client.post(&format!("{}/pause", path(&endpoint)), "").await;
    let works = async {
        let waits = "SELECT count(*) FROM trunkline.deliveries WHERE expedited AND due_at <= now() AND status = 'PENDING'";
        eventually("the test's delivery", async || (house.database.text(waits).await == "1").then_some(()))
            .await;
        house
            .database
            .execute(
                "INSERT INTO trunkline.attempts (lane, tenant_id, event_id, endpoint_id, attempt, started_at, duration_ms, status_code, outcome)
                 SELECT lane, tenant_id, event_id, endpoint_id, 1, now(), 12, 204, 'succeeded' FROM trunkline.deliveries",
            )
            .await;
        house.database.execute("UPDATE trunkline.deliveries SET status = 'DELIVERED', expedited = false, due_at = NULL, finished_at = now(), attempts = 1, cycle_attempts = 1, last_attempt_at = now()").await;
    };
    let at = format!("{}/test", path(&endpoint));
    let (reply, ()) = tokio::join!(house.client.post(&at, ""), works);
    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    let outcome = reply.json();
    assert_eq!(outcome["status"], "DELIVERED");
    assert_eq!(
        outcome["attempts"],
        json!([{"number": 1, "outcome": "succeeded", "status_code": 204, "duration_ms": 12, "error": null}])
    );
    let event = house
        .client
        .get(&format!("/v1/events/{}", outcome["event_id"].as_str().unwrap()))
        .await
        .json()["event"]
        .clone();
    assert_eq!(event["type"], "trunkline.test");
    assert_eq!(event["deliveries"].as_array().unwrap().len(), 1, "no other endpoint gets it");
    let sha = "SELECT bool_and(sha256(payload) = payload_sha256) FROM trunkline.events JOIN trunkline.payloads USING (lane, tenant_id, event_id)";
    assert_eq!(house.database.text(sha).await, "t");
}

#[tokio::test]
async fn a_test_that_takes_long_says_where_to_look_and_a_disabled_endpoint_is_not_tested() {
    let house = House::new().await;
    let at = format!("/v1/endpoints/{}", house.acme.endpoint_id);
    let reply = house.client.post(&format!("{at}/test"), "").await;
    assert_eq!((reply.status, &reply.json()["status"]), (202, &json!("PENDING")));
    let location = reply.header("location").to_owned();
    assert_eq!(location, format!("/v1/events/{}", reply.json()["event_id"].as_str().unwrap()));
    assert_eq!(house.client.get(&location).await.status, 200);
    house.client.post(&format!("{at}/disable"), "").await;
    let before = house.stored().await;
    problem(&house.client.post(&format!("{at}/test"), "").await, 409, "endpoint_disabled");
    assert_eq!(house.stored().await, before, "nothing is stored");
    problem(
        &house.client.post("/v1/endpoints/ep_01a20ada2c007abc8123456789abcdef/test", "").await,
        404,
        "endpoint_not_found",
    );
}

#[tokio::test]
async fn stats_count_an_endpoints_deliveries_and_attempts_over_a_range() {
    let house = House::new().await;
    let at = format!("/v1/endpoints/{}/stats", house.acme.endpoint_id);
    create(&house.client, &json!({"name": "other", "url": "https://example.com/"})).await;
    for status in ["DELIVERED", "DELIVERED", "FAILED", "DEAD"] {
        let id = house.publish("{}").await;
        house.set(&id, status).await;
    }
    house.publish("{}").await;
    house
        .database
        .execute(
            "INSERT INTO trunkline.attempts (lane, tenant_id, event_id, endpoint_id, attempt, started_at, duration_ms, outcome)
             SELECT lane, tenant_id, event_id, endpoint_id, 1, now(), 100,
                    CASE status WHEN 'DELIVERED' THEN 'succeeded' ELSE 'rejected' END::trunkline.attempt_outcome
             FROM trunkline.deliveries WHERE attempts = 1",
        )
        .await;
    let stats = house.client.get(&at).await;
    assert_eq!(stats.status, 200, "{}", String::from_utf8_lossy(&stats.body));
    let stats = stats.json();
    assert_eq!(
        stats["deliveries"],
        json!({"PENDING": 1, "DELIVERED": 2, "FAILED": 2, "CANCELLED": 0, "dead_letters": 1})
    );
    assert_eq!(stats["attempts"], json!({"succeeded": 2, "rejected": 2}));
    assert_eq!(
        (&stats["duration_ms"], &stats["complete"]),
        (&json!({"p50": 100.0, "p95": 100.0}), &json!(true))
    );
    let past = house
        .client
        .get(&format!("{at}?after=2020-01-01T00:00:00Z&before=2020-01-02T00:00:00Z"))
        .await
        .json();
    assert_eq!(past["deliveries"]["PENDING"], 0);
    assert_eq!(past["duration_ms"], json!({"p50": null, "p95": null}));
    problem(&house.client.get(&format!("{at}?after=2030-01-01T00:00:00Z")).await, 400, "invalid_query");
    problem(&house.client.get(&format!("{at}?since=x")).await, 400, "invalid_query");
    let (_, globex) = house.tenant("globex").await;
    problem(&globex.get(&at).await, 404, "endpoint_not_found");
}
