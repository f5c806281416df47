//! Every door on a login of its own that may do nothing but act as its door's roles.

use secrecy::SecretString;
use serde_json::json;
use trunkline_boot::Settings;
use trunkline_store::Role;
use trunkline_testkit::{OPERATOR_KEY, TestDatabase, eventually, seed_tenant, settings};
use trunkline_tests::{Api, Receiver, Worker};

/// The settings of a door that logs in as `name`, which inherits nothing: what works, works by the role.
async fn on_a_login(database: &TestDatabase, name: &str, granted: &[Role]) -> Settings {
    let roles: Vec<_> = granted.iter().map(|role| role.name()).collect();
    let create = format!("CREATE ROLE {name} LOGIN NOINHERIT PASSWORD 'secret' IN ROLE {}", roles.join(", "));
    database.execute(&create).await;
    let mut settings = settings(database);
    let (_, place) = database.url().rsplit_once('@').unwrap();
    settings.database.url = Some(SecretString::from(format!("postgres://{name}:secret@{place}")));
    settings
}

#[tokio::test]
async fn the_whole_house_runs_on_logins_that_may_no_more_than_their_doors() {
    let database = TestDatabase::new().await;
    let receiver = Receiver::start(&on_a_login(&database, "receiver_login", &[Role::Receiver]).await).await;
    let api = Api::start(&on_a_login(&database, "api_login", Role::OF_API).await).await;
    let worker = Worker::start(&on_a_login(&database, "worker_login", &[Role::Worker]).await).await;
    let operator = api.client.bearer(OPERATOR_KEY);
    let url = format!("http://127.0.0.1:{}/acme/webhook", receiver.port);
    let made =
        operator.post("/v1/tenants", json!({"tenant_id": "acme", "target_url": url}).to_string()).await;
    assert_eq!(made.status, 201, "{}", String::from_utf8_lossy(&made.body));
    let acme = api.client.bearer(made.json()["api_key"].as_str().unwrap());

    // One by itself, one by its key, some together, one in order: each has statements of its own.
    let with = async |headers: &[(&str, &str)]| {
        let headers = [&[("content-type", "application/json")], headers].concat();
        let reply = acme.send(http::Method::POST, "/v1/events", r#"{"type":"t"}"#, &headers).await;
        assert_eq!(reply.status, 201, "{}", String::from_utf8_lossy(&reply.body));
        reply.json()["event_id"].as_str().unwrap().to_owned()
    };
    let mut events = vec![
        with(&[]).await,
        with(&[("idempotency-key", "once")]).await,
        with(&[("trunkline-ordering-key", "a")]).await,
    ];
    assert_eq!(with(&[("idempotency-key", "once")]).await, events[1]);
    let together = json!({"events": [{"type": "t", "payload": {}}, {"payload": {}, "ordering_key": "a", "idempotency_key": "k"}]});
    let together = acme.post("/v1/events/batch", together.to_string()).await;
    assert_eq!(together.status, 201, "{}", String::from_utf8_lossy(&together.body));
    events.extend(
        together.json()["events"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["event_id"].as_str().unwrap().to_owned()),
    );
    for event in &events {
        eventually("it is delivered", async || {
            let shown = acme.get(&format!("/v1/events/{event}")).await.json();
            (shown["event"]["status"] == "DELIVERED").then_some(())
        })
        .await;
    }
    let replayed = acme.post("/v1/replays", json!({"status": "DELIVERED"}).to_string()).await;
    assert_eq!(replayed.status, 201);
    let replay = format!("/v1/replays/{}", replayed.json()["replay_id"].as_str().unwrap());
    eventually("the replay is done", async || {
        (acme.get(&replay).await.json()["state"] == "done").then_some(())
    })
    .await;
    let switched = receiver.client.bearer(OPERATOR_KEY).post("/acme/disable", "").await;
    assert_eq!(switched.status, 200);
    let audit = operator.get("/v1/audit").await.json();
    let actions: Vec<_> =
        audit["entries"].as_array().unwrap().iter().map(|entry| entry["action"].clone()).collect();
    assert_eq!(actions, ["reception.disable", "replay.start", "tenant.create"]);
    assert_eq!(operator.delete("/v1/tenants/acme").await.status, 200);

    worker.stop().await;
    api.stop().await;
    receiver.stop().await;
}

#[tokio::test]
async fn doors_act_in_their_roles_also_where_they_log_in_as_the_owner() {
    let database = TestDatabase::new().await;
    let settings = settings(&database);
    let api = Api::start(&settings).await;
    let acme = seed_tenant(&database, &settings, "acme", "http://127.0.0.1:9/").await;
    let tenant = api.client.bearer(&acme.api_key);
    assert_eq!(tenant.post("/v1/events", "{}").await.status, 201);
    // What the owner may and the role may not: the door is refused.
    database.break_by("REVOKE SELECT ON trunkline.events FROM trunkline_api").await;
    assert_eq!(tenant.get("/v1/events").await.status, 500);
    database.break_by("REVOKE INSERT ON trunkline.events FROM trunkline_ingest").await;
    assert!(tenant.post("/v1/events", "{}").await.status >= 500);
    api.stop().await;
}
