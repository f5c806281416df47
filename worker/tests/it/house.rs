//! What every test here begins with.

use std::time::Duration;

use tokio::task::JoinHandle;
use trunkline_boot::{Settings, Shutdown};
use trunkline_domain::EventId;
use trunkline_testkit::{SeededTenant, Sink, TestDatabase, eventually, seed_tenant, settings};

/// A database, an endpoint, and a tenant that delivers to it.
pub(crate) struct House {
    pub(crate) database: TestDatabase,
    pub(crate) settings: Settings,
    pub(crate) sink: Sink,
    pub(crate) acme: SeededTenant,
}

/// A worker in this process.
pub(crate) struct Worker {
    shutdown: Shutdown,
    task: JoinHandle<()>,
}

/// One delivery as its row shows it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) status: String,
    pub(crate) attempts: i32,
    pub(crate) is_due: bool,
}

impl House {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let database = TestDatabase::new().await;
        let mut settings = settings(&database);
        change(&mut settings);
        let sink = Sink::start().await;
        let acme = seed_tenant(&database, &settings, "acme", &sink.url("/hook")).await;
        Self { database, settings, sink, acme }
    }

    pub(crate) async fn worker(&self) -> Worker {
        let shutdown = Shutdown::new();
        let door = trunkline_worker::build(&self.settings, shutdown.clone()).await.unwrap();
        Worker { shutdown, task: tokio::spawn(door.run_until_stopped()) }
    }

    pub(crate) async fn publish(&self, payload: &str) -> EventId {
        trunkline_testkit::publish(&self.database, &self.acme, payload).await
    }

    /// Waits until the event's delivery has that status.
    pub(crate) async fn until(&self, event_id: EventId, status: &str) -> Row {
        eventually(&format!("{event_id} is {status}"), async || {
            let row = self.row(event_id).await;
            (row.status == status).then_some(row)
        })
        .await
    }

    pub(crate) async fn row(&self, event_id: EventId) -> Row {
        let sql = format!(
            "SELECT status || ' ' || attempts || ' ' || (due_at IS NOT NULL)
             FROM trunkline.deliveries WHERE event_id = '{}'",
            event_id.as_uuid()
        );
        let text = self.database.text(&sql).await;
        let mut words = text.split(' ');
        Row {
            status: words.next().unwrap().to_owned(),
            attempts: words.next().unwrap().parse().unwrap(),
            is_due: words.next().unwrap() == "true",
        }
    }

    /// The outcomes of an event's attempts, in order.
    pub(crate) async fn outcomes(&self, event_id: EventId) -> String {
        let sql = format!(
            "SELECT string_agg(outcome::text, ' ' ORDER BY attempt) FROM trunkline.attempts WHERE event_id = '{}'",
            event_id.as_uuid()
        );
        self.database.text(&sql).await
    }
}

impl Worker {
    /// Stops it in order.
    pub(crate) async fn stop(self) {
        self.shutdown.trigger();
        self.task.await.unwrap();
    }
}

/// Shorthand for settings.
pub(crate) fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}
