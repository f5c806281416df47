//! What every test here begins with.

use serde_json::Value;
use tokio::task::JoinHandle;
use trunkline_boot::{Settings, Shutdown};
use trunkline_testkit::{Client, Reply, SeededTenant, TestDatabase, seed_tenant, settings};

/// A database, an api on it, and a tenant with a client.
pub(crate) struct House {
    pub(crate) database: TestDatabase,
    pub(crate) settings: Settings,
    pub(crate) acme: SeededTenant,
    /// With acme's key.
    pub(crate) client: Client,
    /// Without a key.
    pub(crate) anyone: Client,
    door: Door,
}

/// An api in this process; ends with the test.
pub(crate) struct Door {
    pub(crate) port: u16,
    shutdown: Shutdown,
    task: JoinHandle<()>,
}

impl Door {
    pub(crate) async fn start(settings: &Settings) -> Self {
        let shutdown = Shutdown::new();
        let door = trunkline_api::build(settings, shutdown.clone()).await.unwrap();
        let port = door.port();
        let task = tokio::spawn(async move { door.run_until_stopped().await.unwrap() });
        Self { port, shutdown, task }
    }

    pub(crate) async fn stop(mut self) {
        self.shutdown.trigger();
        (&mut self.task).await.unwrap();
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl House {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let database = TestDatabase::new().await;
        let mut settings = settings(&database);
        change(&mut settings);
        let acme = seed_tenant(&database, &settings, "acme", "http://127.0.0.1:9999/hook").await;
        let door = Door::start(&settings).await;
        let anyone = Client::local(door.port);
        Self { client: anyone.bearer(&acme.api_key), database, settings, acme, anyone, door }
    }

    pub(crate) fn port(&self) -> u16 {
        self.door.port
    }

    pub(crate) async fn stop(self) {
        self.door.stop().await;
    }

    /// Another tenant, with a client for its key.
    pub(crate) async fn tenant(&self, name: &str) -> (SeededTenant, Client) {
        let tenant = seed_tenant(&self.database, &self.settings, name, "http://127.0.0.1:9999/other").await;
        let client = self.anyone.bearer(&tenant.api_key);
        (tenant, client)
    }

    /// Publishes an event and returns its id.
    pub(crate) async fn publish(&self, payload: &str) -> String {
        let reply = self.post_event(payload).await;
        assert_eq!(reply.status, 201, "{}", String::from_utf8_lossy(&reply.body));
        reply.json()["event_id"].as_str().unwrap().to_owned()
    }

    /// Events of the type `many`, just before now, with payloads of that size, straight in the database.
    pub(crate) async fn publish_many(&self, count: u32, payload_bytes: u32) {
        let seed = self.publish("{}").await;
        let sql = format!(
            "WITH made AS (
                 INSERT INTO trunkline.events (lane, tenant_id, event_id, type, payload_sha256, payload_bytes, created_at, routed)
                 SELECT e.lane, e.tenant_id, trunkline.uuid_v7(e.created_at - n * interval '100 microseconds'), 'many', e.payload_sha256,
                        {payload_bytes}, e.created_at - n * interval '100 microseconds', false
                 FROM trunkline.events AS e, generate_series(1, {count}) AS n
                 WHERE e.event_id = '{}'
                 RETURNING lane, tenant_id, event_id)
             INSERT INTO trunkline.payloads (lane, tenant_id, event_id, payload)
             SELECT lane, tenant_id, event_id, convert_to('{{\"x\":\"' || repeat(left(event_id::text, 8), {payload_bytes} / 8) || '\"}}', 'UTF8')
             FROM made",
            uuid(&seed)
        );
        self.database.execute(&sql).await;
    }

    /// Posts an event as a client should: one that is told 503, as on a machine that stood still for a second, sends
    /// again.
    pub(crate) async fn post_event(&self, payload: &str) -> Reply {
        trunkline_testkit::eventually("the api takes an event", async || {
            let reply = self.client.post("/v1/events", payload.to_owned()).await;
            (reply.status != 503).then_some(reply)
        })
        .await
    }

    /// Moves an event's delivery, as a worker's outcomes would.
    pub(crate) async fn set(&self, event_id: &str, status: &str) {
        let change = match status {
            "FAILED" => {
                "status = 'FAILED', due_at = now() + interval '1 hour', attempts = 1, cycle_attempts = 1, last_attempt_at = now(), last_status_code = 500, last_error = 'the endpoint answered 500'"
            }
            "DEAD" => {
                "status = 'FAILED', due_at = NULL, finished_at = now(), attempts = 1, cycle_attempts = 1, last_attempt_at = now(), last_error = 'the endpoint answered 500'"
            }
            "DELIVERED" => {
                "status = 'DELIVERED', due_at = NULL, finished_at = now(), attempts = 1, cycle_attempts = 1, last_attempt_at = now()"
            }
            other => panic!("{other}"),
        };
        self.database
            .execute(&format!(
                "UPDATE trunkline.deliveries SET {change} WHERE event_id = '{}'",
                uuid(event_id)
            ))
            .await;
    }

    /// Everything that publishing writes, counted.
    pub(crate) async fn stored(&self) -> String {
        let counts = ["events", "payloads", "deliveries", "idempotency_keys", "tenants", "endpoint_secrets"]
            .map(|table| format!("(SELECT count(*) FROM trunkline.{table})"));
        self.database.text(&format!("SELECT concat_ws(' ', {})", counts.join(", "))).await
    }
}

/// An id as the database has it.
pub(crate) fn uuid(id: &str) -> &str {
    id.split_once('_').unwrap().1
}

/// Checks that an answer is a problem by contract, and returns it.
pub(crate) fn problem(reply: &Reply, status: u16, code: &str) -> Value {
    let body = String::from_utf8_lossy(&reply.body).into_owned();
    assert_eq!(reply.status, status, "{body}");
    assert_eq!(reply.header("content-type"), "application/problem+json", "{body}");
    let problem = reply.json();
    assert_eq!((&problem["code"], &problem["status"]), (&Value::from(code), &Value::from(status)), "{body}");
    for field in ["type", "title", "detail", "request_id"] {
        assert!(problem[field].as_str().is_some_and(|text| !text.is_empty()), "{field} is missing in {body}");
    }
    problem
}
