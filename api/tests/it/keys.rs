//! Keys: one answer for all that are not valid, scopes, revocation within five seconds.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::json;
use trunkline_testkit::OPERATOR_KEY;

use crate::house::{House, problem};

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
