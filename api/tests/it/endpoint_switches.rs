//! Endpoints switched on and off, secrets rotated, and the operational endpoint.

use serde_json::json;
use trunkline_testkit::Client;

use crate::endpoints::{create, path};
use crate::house::{House, problem, uuid};

const UNKNOWN: &str = "/v1/endpoints/ep_01a20ada2c007abc8123456789abcdef";

#[tokio::test]
async fn switches_can_be_turned_twice_and_say_how_the_endpoint_stands() {
    let house = House::new().await;
    let at = format!("/v1/endpoints/{}", house.acme.endpoint_id);
    let turn = async |switch: &str| {
        let first = house.client.post(&format!("{at}/{switch}"), "").await;
        let again = house.client.post(&format!("{at}/{switch}"), "").await;
        assert_eq!((first.status, again.status), (200, 200), "{switch}");
        again.json()["endpoint"].clone()
    };
    let endpoint = turn("pause").await;
    assert_eq!((&endpoint["paused"], &endpoint["enabled"]), (&json!(true), &json!(true)));
    assert_eq!(turn("resume").await["paused"], json!(false));
    let endpoint = turn("disable").await;
    assert_eq!((&endpoint["enabled"], &endpoint["disabled_reason"]), (&json!(false), &json!("manual")));
    let unrouted = house.client.post("/v1/events", "{}").await;
    assert_eq!(unrouted.json()["status"], "UNROUTED", "new events do not match it");
    house
        .database
        .execute("UPDATE trunkline.endpoints SET disabled_reason = 'gone', failing_since = now(), failures = 9, breaker_open_until = now() + interval '1 h'")
        .await;
    assert_eq!(turn("disable").await["disabled_reason"], "gone", "the reason stays");
    let endpoint = turn("enable").await;
    for (field, value) in [
        ("enabled", json!(true)),
        ("disabled_reason", json!(null)),
        ("failing_since", json!(null)),
        ("breaker_open_until", json!(null)),
    ] {
        assert_eq!(endpoint[field], value, "{field}");
    }
    assert_eq!(house.database.text("SELECT failures FROM trunkline.endpoints").await, "0");
    assert_eq!(house.client.post("/v1/events", "{}").await.json()["status"], "PENDING");
    for switch in ["enable", "disable", "pause", "resume"] {
        problem(&house.client.post(&format!("{UNKNOWN}/{switch}"), "").await, 404, "endpoint_not_found");
    }
}

#[tokio::test]
async fn a_rotated_secret_signs_beside_the_old_ones_and_five_of_those_are_kept() {
    let house = House::new().await;
    let at = format!("/v1/endpoints/{}/rotate-secret", house.acme.endpoint_id);
    let rotated = house.client.post(&at, "{}").await;
    assert_eq!(rotated.status, 200);
    assert!(rotated.json()["webhook_secret"].as_str().unwrap().starts_with("whsec_"));
    assert_eq!(rotated.json()["endpoint"]["name"], "default");
    let overlap = "SELECT count(*) FILTER (WHERE valid_until IS NULL) || ' ' || count(*) FILTER (WHERE valid_until > now() + interval '23 hours') FROM trunkline.endpoint_secrets";
    assert_eq!(house.database.text(overlap).await, "1 1");
    let chosen = json!({"webhook_secret": "a-secret-of-our-own-choice", "overlap_seconds": 0});
    let rotated = house.client.post(&at, chosen.to_string()).await;
    assert_eq!(rotated.json()["webhook_secret"], "a-secret-of-our-own-choice");
    let valid =
        "SELECT count(*) FROM trunkline.endpoint_secrets WHERE valid_until IS NULL OR valid_until > now()";
    assert_eq!(house.database.text(valid).await, "1", "without an overlap the old ones sign no more");
    for _ in 0..7 {
        assert_eq!(house.client.post(&at, r#"{"overlap_seconds":604800}"#).await.status, 200);
    }
    assert_eq!(house.database.text("SELECT count(*) FROM trunkline.endpoint_secrets").await, "6");
    problem(&house.client.post(&at, r#"{"overlap_seconds":604801}"#).await, 422, "invalid_field");
    problem(&house.client.post(&at, r#"{"overlap_seconds":-1}"#).await, 422, "invalid_body");
    problem(&house.client.post(&at, r#"{"webhook_secret":"short"}"#).await, 422, "invalid_field");
    problem(&house.client.post(&at, r#"{"overlap":1}"#).await, 422, "invalid_body");
    problem(&house.client.post(&format!("{UNKNOWN}/rotate-secret"), "{}").await, 404, "endpoint_not_found");
}

#[tokio::test]
async fn the_operational_endpoint_is_set_changed_shown_and_deleted() {
    let house = House::new().await;
    let at = "/v1/tenants/current/operational-endpoint";
    problem(&house.client.get(at).await, 404, "endpoint_not_found");
    problem(&house.client.delete(at).await, 404, "endpoint_not_found");
    let created = house.client.put(at, r#"{"url":"https://example.com/news"}"#).await;
    assert_eq!((created.status, created.header("location")), (201, at));
    let created = created.json();
    assert!(created["webhook_secret"].as_str().unwrap().starts_with("whsec_"));
    assert_eq!(
        (&created["endpoint"]["operational"], &created["endpoint"]["name"]),
        (&json!(true), &json!("operational"))
    );
    assert_eq!(house.client.get(at).await.json()["endpoint"], created["endpoint"]);

    let changed = house.client.put(at, r#"{"url":"https://example.com/moved"}"#).await;
    assert_eq!(
        (changed.status, &changed.json()["endpoint"]["url"]),
        (200, &json!("https://example.com/moved"))
    );
    assert_eq!(changed.json()["endpoint"]["endpoint_id"], created["endpoint"]["endpoint_id"]);
    assert!(changed.json().get("webhook_secret").is_none());
    let with_secret = r#"{"url":"https://example.com/moved","webhook_secret":"a-secret-of-our-own-choice"}"#;
    assert_eq!(house.client.put(at, with_secret).await.status, 200);
    let id = uuid(created["endpoint"]["endpoint_id"].as_str().unwrap()).to_owned();
    let secrets = format!("SELECT count(*) FROM trunkline.endpoint_secrets WHERE endpoint_id = '{id}'");
    assert_eq!(house.database.text(&secrets).await, "2");

    house.publish("{}").await;
    let count = format!("SELECT count(*) FROM trunkline.deliveries WHERE endpoint_id = '{id}'");
    assert_eq!(house.database.text(&count).await, "0", "it gets no events of the tenant's own");
    problem(&house.client.put(at, r#"{"url":"http://10.0.0.1/"}"#).await, 422, "invalid_field");
    problem(&house.client.put(at, r#"{"url":"https://example.com/","name":"x"}"#).await, 422, "invalid_body");
    let ordinary = json!({"name": "operational", "url": "https://example.com/"}).to_string();
    problem(&house.client.post("/v1/endpoints", ordinary).await, 422, "invalid_field");
    let rename = house.client.patch(&path(&created["endpoint"]), r#"{"name":"other"}"#).await;
    problem(&rename, 422, "invalid_field");
    let (_, globex) = house.tenant("globex").await;
    problem(&globex.get(at).await, 404, "endpoint_not_found");
    assert_eq!(house.client.delete(at).await.json()["cancelled"], 0);
    problem(&house.client.get(at).await, 404, "endpoint_not_found");
    assert_eq!(house.client.put(at, r#"{"url":"https://example.com/news"}"#).await.status, 201);
}

/// Every route of endpoints but those that make something.
async fn ask_all(client: &Client, at: &str) -> Vec<trunkline_testkit::Reply> {
    let mut replies = vec![
        client.get(at).await,
        client.get(&format!("{at}/stats")).await,
        client.patch(at, r#"{"description":"theirs"}"#).await,
        client.delete(at).await,
        client.post(&format!("{at}/rotate-secret"), "{}").await,
    ];
    for action in ["enable", "disable", "pause", "resume", "test"] {
        replies.push(client.post(&format!("{at}/{action}"), "").await);
    }
    replies
}

#[tokio::test]
async fn a_foreign_endpoint_is_exactly_like_one_that_does_not_exist() {
    let house = House::new().await;
    let endpoint = create(&house.client, &json!({"name": "shop", "url": "https://example.com/"})).await;
    let (_, globex) = house.tenant("globex").await;
    let before = house.stored().await;
    let mut answers = Vec::new();
    for at in [path(&endpoint), UNKNOWN.to_owned(), "/v1/endpoints/nonsense".to_owned()] {
        let replies = ask_all(&globex, &at).await;
        let bodies = replies.iter().map(|reply| {
            let mut body = problem(reply, 404, "endpoint_not_found");
            body["request_id"] = json!("");
            body
        });
        answers.push(bodies.collect::<Vec<_>>());
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(house.stored().await, before);
    assert_eq!(house.client.get(&path(&endpoint)).await.json()["endpoint"], endpoint, "nothing changed");
}

#[tokio::test]
async fn a_key_that_reads_changes_no_endpoint_and_one_that_writes_shows_none() {
    let house = House::new().await;
    let at = format!("/v1/endpoints/{}", house.acme.endpoint_id);
    let operational = "/v1/tenants/current/operational-endpoint";
    // Each api remembers keys for a few seconds; another process of it has not seen this one yet.
    house.database.execute("UPDATE trunkline.api_keys SET scopes = ARRAY['read']").await;
    let reader = &house.client;
    assert_eq!(reader.get(&at).await.status, 200);
    assert_eq!(reader.get(&format!("{at}/stats")).await.status, 200);
    assert_eq!(reader.get("/v1/endpoints").await.status, 200);
    let wanted = r#"{"name":"x","url":"https://example.com/"}"#;
    let mut refused = vec![
        reader.post("/v1/endpoints", wanted).await,
        reader.put(operational, r#"{"url":"https://example.com/"}"#).await,
        reader.delete(operational).await,
    ];
    refused.extend(ask_all(reader, &at).await.into_iter().skip(2));
    for reply in &refused {
        problem(reply, 403, "insufficient_scope");
    }
    let other = House::new().await;
    other.database.execute("UPDATE trunkline.api_keys SET scopes = ARRAY['write']").await;
    let at = format!("/v1/endpoints/{}", other.acme.endpoint_id);
    for path in [at.clone(), format!("{at}/stats"), "/v1/endpoints".to_owned(), operational.to_owned()] {
        problem(&other.client.get(&path).await, 403, "insufficient_scope");
        problem(&other.anyone.get(&path).await, 401, "unauthenticated");
    }
}
