use http::Method;
use trunkline_boot::settings::ReceiverControl;
use trunkline_testkit::{OPERATOR_KEY, seed_tenant};

use crate::house::{House, assert_problem};

const SWITCHES: [&str; 4] = ["/acme/enable", "/acme/disable", "/enable", "/disable"];

#[tokio::test]
async fn without_a_valid_key_nothing_is_switched_or_shown() {
    // More wrong keys than one address is let pass.
    let house = House::with(|settings| settings.clients.failed_logins_per_minute = 0).await;
    let client = &house.replica.client;
    let revoked = house.acme.api_key.clone();
    house.database.execute("UPDATE trunkline.api_keys SET revoked_at = now()").await;
    for authorization in
        ["", "Bearer", "Bearer ", "Basic abc", "Bearer tl_nonsense", &format!("Bearer {revoked}")]
    {
        for path in SWITCHES {
            let reply = client.send(Method::POST, path, "", &[("authorization", authorization)]).await;
            assert_problem(&reply, 401, "unauthenticated");
            assert_eq!(reply.header("www-authenticate"), "Bearer");
        }
        let reply = client.send(Method::GET, "/acme/received", "", &[("authorization", authorization)]).await;
        assert_problem(&reply, 401, "unauthenticated");
    }
    assert_eq!(client.get("/acme/status").await.json()["accepts_webhooks"], true);
}

#[tokio::test]
async fn two_keys_at_one_time_are_none() {
    let house = House::new().await;
    let good = format!("Bearer {}", house.acme.api_key);
    for other in [good.as_str(), "Bearer x"] {
        for keys in [[good.as_str(), other], [other, good.as_str()]] {
            let headers = keys.map(|key| ("authorization", key));
            let reply = house.replica.client.send(Method::POST, "/acme/disable", "", &headers).await;
            assert_problem(&reply, 401, "unauthenticated");
        }
    }
}

#[tokio::test]
async fn a_key_opens_only_what_it_is_for() {
    let house = House::new().await;
    let globex = seed_tenant(&house.database, &house.settings, "globex", "http://127.0.0.1:1/").await;
    let foreign = house.replica.client.bearer(&globex.api_key);
    for path in ["/acme/enable", "/acme/disable", "/nobody/disable"] {
        assert_problem(&foreign.post(path, "").await, 403, "foreign_tenant");
    }
    assert_problem(&foreign.get("/acme/received").await, 403, "foreign_tenant");
    for path in ["/enable", "/disable"] {
        assert_problem(&foreign.post(path, "").await, 403, "operator_only");
    }

    house.database.execute("UPDATE trunkline.api_keys SET scopes = '{read}' WHERE tenant_id = 'acme'").await;
    let reader = house.replica.client.bearer(&house.acme.api_key);
    assert_problem(&reader.post("/acme/disable", "").await, 403, "insufficient_scope");
    assert_eq!(reader.get("/acme/received").await.status, 200);

    let operator = house.replica.client.bearer(OPERATOR_KEY);
    assert_eq!(operator.post("/acme/disable", "").await.status, 200);
    assert_problem(&operator.post("/nobody/disable", "").await, 404, "tenant_unknown");
    assert_problem(&operator.get("/acme/received").await, 403, "tenant_only");
    let switches =
        house.database.text("SELECT string_agg(scope, ',' ORDER BY scope) FROM trunkline.receptions").await;
    assert_eq!(switches, "*,acme", "a refused switch leaves no row");
}

#[tokio::test]
async fn open_control_needs_no_key_to_switch_but_still_one_to_read() {
    let house = House::with(|settings| settings.receiver.control = ReceiverControl::Open).await;
    for path in SWITCHES {
        assert_eq!(house.replica.client.post(path, "").await.status, 200, "{path}");
    }
    assert_problem(&house.replica.client.post("/nobody/enable", "").await, 404, "tenant_unknown");
    assert_problem(&house.replica.client.get("/acme/received").await, 401, "unauthenticated");
}
