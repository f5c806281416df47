//! Keys: one answer for all that are not valid, scopes, revocation within five seconds.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::json;
use trunkline_testkit::OPERATOR_KEY;

use crate::house::{Door, House, problem};

#[tokio::test]
async fn every_key_that_is_not_valid_gets_the_same_401() {
    let house = House::new().await;
    let (revoked, _) = house.tenant("revoked").await;
    let (expired, _) = house.tenant("expired").await;
    house
        .database
        .execute("UPDATE trunkline.api_keys SET revoked_at = now() WHERE tenant_id = 'revoked'")
        .await;
    house.database.execute("UPDATE trunkline.api_keys SET expires_at = now() - interval '1 second' WHERE tenant_id = 'expired'").await;
    let unknown = trunkline_vault::ApiKey::from_random([9; 32]);
    let mut bodies = Vec::new();
    for authorization in [
        None,
        Some(String::new()),
        Some("Bearer".to_owned()),
        Some("Bearer ".to_owned()),
        Some("Bearer garbage".to_owned()),
        Some(format!("Basic {}", house.acme.api_key)),
        Some(format!("Bearer {}x", house.acme.api_key)),
        Some(format!("Bearer {}", unknown.expose())),
        Some(format!("Bearer {}", revoked.api_key)),
        Some(format!("Bearer {}", expired.api_key)),
    ] {
        let headers: Vec<_> = authorization.iter().map(|value| ("authorization", value.as_str())).collect();
        let reply = house.anyone.send(Method::GET, "/v1/events", "", &headers).await;
        let mut body = problem(&reply, 401, "unauthenticated");
        assert_eq!(reply.header("www-authenticate"), "Bearer");
        body["request_id"] = json!("");
        bodies.push(body);
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1);
    let lower_case = [("authorization", format!("bearer {}", house.acme.api_key))];
    let headers: Vec<_> = lower_case.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(house.anyone.send(Method::GET, "/v1/events", "", &headers).await.status, 200);
}

#[tokio::test]
async fn a_key_does_what_its_scopes_say() {
    let house = House::new().await;
    let (_, reader) = house.tenant("reader").await;
    house
        .database
        .execute("UPDATE trunkline.api_keys SET scopes = '{read}' WHERE tenant_id = 'reader'")
        .await;
    assert_eq!(reader.get("/v1/events").await.status, 200);
    problem(&reader.post("/v1/events", "{}").await, 403, "insufficient_scope");
    problem(&reader.patch("/v1/tenants/current", "{}").await, 403, "insufficient_scope");
    problem(&reader.post("/v1/dead-letters/purge", "{}").await, 403, "insufficient_scope");
    let (_, writer) = house.tenant("writer").await;
    house
        .database
        .execute("UPDATE trunkline.api_keys SET scopes = '{write}' WHERE tenant_id = 'writer'")
        .await;
    assert_eq!(writer.post("/v1/events", "{}").await.status, 201);
    problem(&writer.get("/v1/events").await, 403, "insufficient_scope");
    problem(&house.anyone.bearer(OPERATOR_KEY).get("/v1/events").await, 403, "tenant_only");
}

#[tokio::test]
async fn a_revoked_key_stops_working_within_five_seconds() {
    let house = House::new().await;
    assert_eq!(house.client.get("/v1/events").await.status, 200);
    house.database.execute("UPDATE trunkline.api_keys SET revoked_at = now()").await;
    let revoked_at = Instant::now();
    trunkline_testkit::eventually("the key is refused", async || {
        (house.client.get("/v1/events").await.status == 401).then_some(())
    })
    .await;
    assert!(revoked_at.elapsed() < Duration::from_secs(5), "{:?}", revoked_at.elapsed());
}

#[tokio::test]
async fn a_key_with_a_wrong_checksum_is_refused_without_a_query() {
    let house = House::new().await;
    // Whoever asks this table waits from now on, until the time of the statement is over.
    let mut blocker = house.database.connect().await;
    trunkline_testkit::run(&mut blocker, "BEGIN; LOCK TABLE trunkline.api_keys").await;
    let valid = &house.acme.api_key;
    let last = if valid.ends_with('A') { 'B' } else { 'A' };
    let forged = format!("{}{last}", &valid[..valid.len() - 1]);
    problem(&house.anyone.bearer(&forged).get("/v1/events").await, 401, "unauthenticated");
    let unknown = trunkline_vault::ApiKey::from_random([8; 32]);
    let looked_up = house.anyone.bearer(unknown.expose()).get("/v1/events").await;
    assert_eq!(looked_up.status, 503, "one that could be a key is looked up");
}

#[tokio::test]
async fn a_key_is_made_with_its_end_and_refused_from_then_on() {
    let house = House::new().await;
    let body = json!({"name": "guest", "scopes": ["read"], "expires_at": "2999-01-01T00:00:00Z"});
    let created = house.client.post("/v1/api-keys", body.to_string()).await.json();
    assert_eq!(created["expires_at"], body["expires_at"]);
    let guest = house.anyone.bearer(created["api_key"].as_str().unwrap());
    assert_eq!(guest.get("/v1/events").await.status, 200);
    house.database.execute("UPDATE trunkline.api_keys SET expires_at = now() WHERE name = 'guest'").await;
    trunkline_testkit::eventually("its time is over", async || {
        (guest.get("/v1/events").await.status == 401).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_last_use_of_a_key_is_written_down_at_most_once_a_minute() {
    let house = House::new().await;
    // What was used is written down now and then, and when an api stops.
    let use_it = async || {
        let door = Door::start(&house.settings).await;
        let client = trunkline_testkit::Client::local(door.port).bearer(&house.acme.api_key);
        assert_eq!(client.get("/v1/events").await.status, 200);
        door.stop().await;
        house.database.text("SELECT last_used_at FROM trunkline.api_keys").await
    };
    let listed =
        async || house.client.get("/v1/api-keys").await.json()["api_keys"][0]["last_used_at"].clone();
    assert_eq!(house.database.text("SELECT last_used_at FROM trunkline.api_keys").await, "");
    let first = use_it().await;
    assert_ne!(first, "");
    assert_eq!(use_it().await, first, "a minute has not gone by");
    house.database.execute("UPDATE trunkline.api_keys SET last_used_at = now() - interval '1 minute'").await;
    let stale = house.database.text("SELECT last_used_at FROM trunkline.api_keys").await;
    assert_ne!(use_it().await, stale, "a minute has gone by");
    assert!(listed().await.is_string());
}
