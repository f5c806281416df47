//! A receiver under test, with a tenant.

use std::io;

use http::Method;
use tokio::task::JoinHandle;
use trunkline_boot::clock::signing_now;
use trunkline_boot::{Settings, Shutdown};
use trunkline_signing::{Secret, SignatureHeaders, sign};
use trunkline_testkit::{Client, Reply, SeededTenant, TestDatabase, seed_tenant, settings};

pub(crate) const BODY: &str = r#"{"type":"order.paid","amount":12.50}"#;

pub(crate) struct House {
    pub(crate) database: TestDatabase,
    pub(crate) settings: Settings,
    pub(crate) acme: SeededTenant,
    pub(crate) replica: Replica,
}

/// One running receiver.
pub(crate) struct Replica {
    pub(crate) port: u16,
    pub(crate) client: Client,
    shutdown: Shutdown,
    running: JoinHandle<io::Result<()>>,
}

impl Replica {
    pub(crate) async fn start(settings: &Settings) -> Self {
        let shutdown = Shutdown::new();
        let door = trunkline_receiver::build(settings, shutdown.clone()).await.unwrap();
        let port = door.port();
        let running = tokio::spawn(door.run_until_stopped());
        Self { port, client: Client::local(port), shutdown, running }
    }

    pub(crate) fn request_stop(&self) {
        self.shutdown.trigger();
    }

    pub(crate) async fn stop(self) {
        self.shutdown.trigger();
        self.running.await.unwrap().unwrap();
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
        let acme = seed_tenant(&database, &settings, "acme", "http://127.0.0.1:1/").await;
        let replica = Replica::start(&settings).await;
        Self { database, settings, acme, replica }
    }

    /// What a worker would send now.
    pub(crate) fn sign(&self, id: &str) -> SignatureHeaders {
        self.sign_at(id, signing_now())
    }

    pub(crate) fn sign_at(&self, id: &str, timestamp: i64) -> SignatureHeaders {
        let secret = Secret::from_stored(&self.acme.webhook_secret).unwrap();
        sign(id, timestamp, BODY.as_bytes(), &[&secret])
    }

    /// Sends a webhook that is right in every respect.
    pub(crate) async fn deliver(&self, id: &str) -> Reply {
        self.post("/acme/webhook", BODY, &self.sign(id).pairs()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &str, headers: &[(&str, &str)]) -> Reply {
        self.replica.client.send(Method::POST, path, body.to_owned(), headers).await
    }

    pub(crate) async fn receipts(&self) -> String {
        self.database.text("SELECT count(*)::text FROM trunkline.receipts").await
    }
}

/// Holds that an answer is a problem as the contract describes them.
pub(crate) fn assert_problem(reply: &Reply, status: u16, code: &str) {
    let body = reply.json();
    assert_eq!((reply.status, body["code"].as_str()), (status, Some(code)), "{body}");
    assert_eq!(reply.header("content-type"), "application/problem+json");
    assert_eq!(body["status"], status);
    for member in ["type", "title", "detail", "request_id"] {
        assert!(body[member].as_str().is_some_and(|text| !text.is_empty()), "{member}: {body}");
    }
}
