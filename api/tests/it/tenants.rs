//! Tenants: created once, shown without secrets, changed with overlap.

use serde_json::json;
use trunkline_boot::settings::Signup;
use trunkline_testkit::OPERATOR_KEY;

use crate::house::{House, problem};

#[tokio::test]
async fn an_operator_creates_a_tenant_that_can_publish_at_once() {
    let house = House::new().await;
    let operator = house.anyone.bearer(OPERATOR_KEY);
    let body = r#"{"tenant_id":"new-tenant","target_url":"HTTPS://Example.com:443/hooks"}"#;
    let created = operator.post("/v1/tenants", body).await;
    assert_eq!((created.status, created.header("location")), (201, "/v1/tenants/new-tenant"));
    let created = created.json();
    assert_eq!(created["target_url"], "https://example.com/hooks", "in canonical form");
    assert!(created["webhook_secret"].as_str().unwrap().starts_with("whsec_"));
    let tenant = house.anyone.bearer(created["api_key"].as_str().unwrap());
    assert_eq!(tenant.post("/v1/events", "{}").await.status, 201);
    problem(&operator.post("/v1/tenants", body).await, 409, "tenant_exists");

    let shown = tenant.get("/v1/tenants/current").await;
    assert_eq!(shown.json(), operator.get("/v1/tenants/new-tenant").await.json());
    let text = String::from_utf8_lossy(&shown.body).into_owned();
    for secret in ["api_key", "webhook_secret"] {
        assert!(!text.contains(created[secret].as_str().unwrap()), "{secret} is shown again");
    }
    let plain =
        "SELECT count(*) FROM trunkline.endpoint_secrets WHERE position('whsec_'::bytea IN sealed) > 0";
    assert_eq!(house.database.text(plain).await, "0", "secrets are sealed");
}

#[tokio::test]
async fn without_an_operators_key_nobody_creates_tenants_unless_signup_is_open() {
    let body = r#"{"tenant_id":"new-tenant","target_url":"https://example.com/"}"#;
    let house = House::new().await;
    problem(&house.anyone.post("/v1/tenants", body).await, 401, "unauthenticated");
    let open = House::with(|settings| settings.signup = Signup::Open).await;
    assert_eq!(open.anyone.post("/v1/tenants", body).await.status, 201);
}

#[tokio::test]
async fn a_tenant_changes_its_address_and_secret() {
    let house = House::new().await;
    let changed =
        house.client.patch("/v1/tenants/current", r#"{"target_url":"https://example.com/new"}"#).await;
    assert_eq!(changed.status, 200);
    assert!(changed.json()["message"].as_str().unwrap().contains("updated"));
    assert_eq!(changed.json()["tenant"]["target_url"], "https://example.com/new");
    let secret = json!({"webhook_secret": "a-secret-of-our-own-choice"}).to_string();
    assert_eq!(house.anyone.bearer(OPERATOR_KEY).patch("/v1/tenants/acme", secret).await.status, 200);
    let overlap = "SELECT count(*) FILTER (WHERE valid_until IS NULL) || ' ' || count(*) FILTER (WHERE valid_until > now() + interval '23 hours') FROM trunkline.endpoint_secrets";
    assert_eq!(house.database.text(overlap).await, "1 1", "the old secret signs on beside the new one");
}

#[tokio::test]
async fn tenants_are_listed_in_pages_and_suspended() {
    let house = House::new().await;
    for name in ["globex", "initech"] {
        house.tenant(name).await;
    }
    let operator = house.anyone.bearer(OPERATOR_KEY);
    let first = operator.get("/v1/tenants?limit=2").await;
    assert!(first.header("link").contains("rel=\"next\""));
    let first = first.json();
    let names: Vec<_> = first["tenants"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tenant| tenant["tenant_id"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["acme", "globex"]);
    let rest = operator
        .get(&format!("/v1/tenants?limit=2&next_token={}", first["next_token"].as_str().unwrap()))
        .await
        .json();
    assert_eq!((&rest["tenants"][0]["tenant_id"], rest.get("next_token")), (&json!("initech"), None));

    let suspended = operator.post("/v1/tenants/globex/suspend", "").await;
    assert_eq!((suspended.status, &suspended.json()["status"]), (200, &json!("SUSPENDED")));
    assert_eq!(operator.post("/v1/tenants/globex/resume", "").await.json()["status"], "ACTIVE");
    problem(&operator.post("/v1/tenants/nobody/suspend", "").await, 404, "tenant_not_found");
    problem(&operator.get("/v1/tenants/nobody").await, 404, "tenant_not_found");
}

#[tokio::test]
async fn without_its_default_endpoint_a_tenant_is_told_what_is_missing() {
    let house = House::new().await;
    let path = format!("/v1/endpoints/{}", house.acme.endpoint_id);
    assert_eq!(house.client.delete(&path).await.status, 200);
    let reply = house.client.patch("/v1/tenants/current", r#"{"target_url":"https://example.com/"}"#).await;
    problem(&reply, 404, "endpoint_not_found");
}
