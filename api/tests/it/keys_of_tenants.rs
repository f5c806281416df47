//! Keys that tenants make and revoke themselves.

use serde_json::json;
use trunkline_testkit::{OPERATOR_KEY, eventually};

use crate::export;
use crate::house::{Door, House, problem};

async fn create(client: &trunkline_testkit::Client, body: serde_json::Value) -> trunkline_testkit::Reply {
    client.post("/v1/api-keys", body.to_string()).await
}

#[tokio::test]
async fn a_key_is_made_shown_once_listed_without_itself_and_revoked_here_at_once() {
    let house = House::new().await;
    let created = create(&house.client, json!({"name": "report", "scopes": ["read"]})).await;
    assert_eq!(created.status, 201);
    let created = created.json();
    let (key, key_id) = (created["api_key"].as_str().unwrap(), created["key_id"].as_str().unwrap());
    assert!(key.starts_with("tl_") && key_id.starts_with("key_"));
    assert_eq!((&created["scopes"], &created["expires_at"]), (&json!(["read"]), &json!(null)));
    let reader = house.anyone.bearer(key);
    assert_eq!(reader.get("/v1/events").await.status, 200);
    problem(&reader.post("/v1/events", "{}").await, 403, "insufficient_scope");

    let listed = house.client.get("/v1/api-keys").await;
    assert_eq!(listed.json()["total_count"], 2);
    assert_eq!(listed.json()["api_keys"][0]["key_id"], key_id, "newest first");
    assert!(!String::from_utf8_lossy(&listed.body).contains(key), "a list shows no key");

    let path = format!("/v1/api-keys/{key_id}");
    let revoked = house.client.delete(&path).await;
    assert_eq!(revoked.status, 200);
    problem(&reader.get("/v1/events").await, 401, "unauthenticated");
    let again = house.client.delete(&path).await;
    assert_eq!((again.status, again.json()), (200, revoked.json()), "the first time stands");
}

#[tokio::test]
async fn a_revocation_is_seen_by_another_replica_within_five_seconds() {
    let house = House::new().await;
    let replica = Door::start(&house.settings).await;
    let created = create(&house.client, json!({"name": "k", "scopes": ["read", "write"]})).await.json();
    let there = trunkline_testkit::Client::local(replica.port).bearer(created["api_key"].as_str().unwrap());
    assert_eq!(there.get("/v1/events").await.status, 200);
    let path = format!("/v1/api-keys/{}", created["key_id"].as_str().unwrap());
    assert_eq!(house.client.delete(&path).await.status, 200);
    let revoked_at = std::time::Instant::now();
    eventually("the key is refused", async || (there.get("/v1/events").await.status == 401).then_some(()))
        .await;
    assert!(revoked_at.elapsed() < std::time::Duration::from_secs(5), "{:?}", revoked_at.elapsed());
    replica.stop().await;
}

#[tokio::test]
async fn a_running_export_ends_within_five_seconds_of_its_key() {
    let house = House::new().await;
    house.publish_many(60, 256 * 1_024).await;
    let operator = house.anyone.bearer(OPERATOR_KEY);
    for end in ["revoked", "expired", "deleted"] {
        let created = create(&house.client, json!({"name": end, "scopes": ["read"]})).await.json();
        let (key, key_id) = (created["api_key"].as_str().unwrap(), created["key_id"].as_str().unwrap());
        let stream = export::begin(&house, key).await;
        match end {
            "revoked" => assert_eq!(house.client.delete(&format!("/v1/api-keys/{key_id}")).await.status, 200),
            "expired" => {
                let expire = "UPDATE trunkline.api_keys SET expires_at = now() WHERE name = 'expired'";
                house.database.execute(expire).await;
            }
            _ => assert_eq!(operator.delete("/v1/tenants/acme").await.status, 200),
        }
        let ended_at = std::time::Instant::now();
        let reader = house.anyone.bearer(key);
        eventually("the key is refused", async || {
            (reader.get("/v1/events").await.status == 401).then_some(())
        })
        .await;
        assert!(ended_at.elapsed() < std::time::Duration::from_secs(5), "{end}: {:?}", ended_at.elapsed());
        assert!(export::rest_of_broken(stream).await < 60 * 256 * 1_024, "{end}");
    }
}

#[tokio::test]
async fn a_key_gives_no_scope_that_it_lacks_and_changes_no_keys_without_write() {
    let house = House::new().await;
    let key = async |scopes: serde_json::Value| {
        let created = create(&house.client, json!({"name": "k", "scopes": scopes})).await.json();
        house.anyone.bearer(created["api_key"].as_str().unwrap())
    };
    let (reader, writer) = (key(json!(["read"])).await, key(json!(["write"])).await);
    problem(&create(&reader, json!({"name": "x", "scopes": ["read"]})).await, 403, "insufficient_scope");
    problem(&create(&writer, json!({"name": "x", "scopes": ["read"]})).await, 403, "insufficient_scope");
    problem(
        &create(&writer, json!({"name": "x", "scopes": ["write", "read"]})).await,
        403,
        "insufficient_scope",
    );
    assert_eq!(create(&writer, json!({"name": "x", "scopes": ["write"]})).await.status, 201);
    problem(&writer.get("/v1/api-keys").await, 403, "insufficient_scope");
    let listed = reader.get("/v1/api-keys").await.json();
    let path = format!("/v1/api-keys/{}", listed["api_keys"][0]["key_id"].as_str().unwrap());
    problem(&reader.delete(&path).await, 403, "insufficient_scope");
}

#[tokio::test]
async fn a_key_makes_none_that_outlives_it() {
    let house = House::new().await;
    let (tomorrow, later) = ("2099-01-01T00:00:00Z", "2099-01-01T00:00:01Z");
    let maker = json!({"name": "maker", "scopes": ["read", "write"], "expires_at": tomorrow});
    let maker = create(&house.client, maker).await.json();
    let maker = house.anyone.bearer(maker["api_key"].as_str().unwrap());
    for end in [json!(null), json!(later)] {
        let body = json!({"name": "x", "scopes": ["read"], "expires_at": end});
        let refused = problem(&create(&maker, body).await, 422, "invalid_field");
        assert_eq!(refused["errors"][0]["field"], "expires_at");
    }
    let body = json!({"name": "x", "scopes": ["read"], "expires_at": tomorrow});
    assert_eq!(create(&maker, body).await.status, 201);
}

#[tokio::test]
async fn keys_are_bounded_and_checked_and_an_expired_one_makes_room() {
    let house = House::new().await;
    for body in [
        json!({"name": "", "scopes": ["read"]}),
        json!({"name": "x".repeat(101), "scopes": ["read"]}),
        json!({"name": "a\nb", "scopes": ["read"]}),
        json!({"name": "x", "scopes": []}),
        json!({"name": "x", "scopes": ["read", "read"]}),
        json!({"name": "x", "scopes": ["read"], "expires_at": "2020-01-01T00:00:00Z"}),
    ] {
        problem(&create(&house.client, body).await, 422, "invalid_field");
    }
    for body in [
        json!({"name": "x", "scopes": ["admin"]}),
        json!({"name": "x"}),
        json!({"name": "x", "scopes": ["read"], "expires_at": "tomorrow"}),
        json!({"name": "x", "scopes": ["read"], "tenant_id": "globex"}),
    ] {
        problem(&create(&house.client, body).await, 422, "invalid_body");
    }
    let one = json!({"name": "x", "scopes": ["read"], "expires_at": "2099-01-01T00:00:00Z"});
    for _ in 1..100 {
        assert_eq!(create(&house.client, one.clone()).await.status, 201);
    }
    problem(&create(&house.client, one.clone()).await, 409, "too_many_api_keys");
    let expire = "UPDATE trunkline.api_keys SET expires_at = now() WHERE key_id = (SELECT key_id FROM trunkline.api_keys WHERE name = 'x' LIMIT 1)";
    house.database.execute(expire).await;
    assert_eq!(create(&house.client, one).await.status, 201);
}

#[tokio::test]
async fn a_foreign_key_is_exactly_like_one_that_does_not_exist() {
    let house = House::new().await;
    let (_, globex) = house.tenant("globex").await;
    let mine = house.client.get("/v1/api-keys").await.json()["api_keys"][0]["key_id"].clone();
    for key_id in [mine.as_str().unwrap(), "key_01a20ada2c007abc8123456789abcdef", "x", "key_"] {
        problem(&globex.delete(&format!("/v1/api-keys/{key_id}")).await, 404, "api_key_not_found");
    }
    assert_eq!(globex.get("/v1/api-keys").await.json()["total_count"], 1);
    assert_eq!(house.client.get("/v1/events").await.status, 200, "nothing changed");
}
