//! A whole Trunkline of real processes: PostgreSQL, api, worker, receiver, and the sink they deliver to.

mod ports;
mod process;
mod questions;
mod server;
pub(crate) mod standby;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::process::Command;

pub(crate) use ports::free_port;
pub(crate) use process::{Process, Role, Stopped};
pub(crate) use questions::{Database, execute};
pub(crate) use server::Server;

use crate::http_client::Client;
use crate::programs::Programs;
use crate::rotation::Rotation;
use crate::sink::Sink;

/// Opens operator routes.
const OPERATOR_KEY: &str = "operator-key-of-the-faults";

/// What every door is started with. Times are short so that a lease that must run out does so soon: an attempt may take
/// a second, its lease the four that the settings ask for, and one more.
const SETTINGS: [(&str, &str); 11] = [
    ("TRUNKLINE__SECRETS__KEYS", "faults:BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="),
    ("TRUNKLINE__OPERATOR__KEYS", OPERATOR_KEY),
    ("TRUNKLINE__EGRESS__ALLOW", "127.0.0.0/8"),
    ("TRUNKLINE__DELIVERY__TIMEOUT", "1s"),
    ("TRUNKLINE__DELIVERY__CONNECT_TIMEOUT", "500ms"),
    // Thirty attempts: no scenario's outage may use the budget up.
    ("TRUNKLINE__DELIVERY__RETRY_SCHEDULE", RETRY_SCHEDULE),
    ("TRUNKLINE__WORKER__LEASE", "5s"),
    ("TRUNKLINE__WORKER__DRAIN", "5s"),
    ("TRUNKLINE__INGEST__RATE_PER_TENANT", "0"),
    ("TRUNKLINE__INGEST__BURST_PER_TENANT", "0"),
    ("TRUNKLINE__PARTITIONS__AHEAD", "3"),
];

const RETRY_SCHEDULE: &str =
    "200ms,500ms,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s";

/// The lease of [`SETTINGS`].
pub(crate) const LEASE: Duration = Duration::from_secs(5);

/// What `worker.endpoint_concurrency` is by default.
pub(crate) const ENDPOINT_CONCURRENCY: u64 = 32;

/// The programs of the house.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    Api,
    Worker,
    Receiver,
}

impl Door {
    fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Worker => "worker",
            Self::Receiver => "receiver",
        }
    }
}

/// A running house. Dropping it kills what it started.
pub(crate) struct House {
    pub(crate) server: Server,
    pub(crate) database: Database,
    pub(crate) sink: Sink,
    pub(crate) apis: Vec<Process>,
    pub(crate) workers: Vec<Process>,
    pub(crate) receivers: Vec<Process>,
    folder: PathBuf,
    programs: Programs,
    /// What every door is told beside [`SETTINGS`].
    told: Vec<(String, String)>,
}

/// A tenant, with the key that is shown once.
#[derive(Clone)]
pub(crate) struct Tenant {
    pub(crate) tenant_id: String,
    pub(crate) api_key: String,
}

impl House {
    /// PostgreSQL with the schema, and the sink; no door yet.
    pub(crate) async fn open(
        folder: &Path,
        programs: &Programs,
        postgres: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let house = Self::unmigrated(folder, programs, postgres).await?;
        house.migrate().await?;
        Ok(house)
    }

    /// PostgreSQL without the schema, and the sink.
    pub(crate) async fn unmigrated(
        folder: &Path,
        programs: &Programs,
        postgres: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        // Scenarios look for statements under way, of which PostgreSQL shows so much.
        let mut settings = vec![("max_connections", "200"), ("track_activity_query_size", "16384")];
        settings.extend_from_slice(postgres);
        let server = Server::start(&folder.join("database"), &settings).await?;
        Ok(Self {
            database: Database::new(server.url()),
            server,
            sink: Sink::listen(free_port()?).await?,
            apis: Vec::new(),
            workers: Vec::new(),
            receivers: Vec::new(),
            folder: folder.to_owned(),
            programs: programs.clone(),
            told: Vec::new(),
        })
    }

    /// Sets a variable of every door that is started from now on.
    pub(crate) fn tell(&mut self, name: &str, value: &str) {
        self.told.push((name.to_owned(), value.to_owned()));
    }

    /// The same with so many doors, all ready.
    pub(crate) async fn furnished(
        folder: &Path,
        programs: &Programs,
        apis: usize,
        workers: usize,
    ) -> anyhow::Result<Self> {
        let mut house = Self::open(folder, programs, &[]).await?;
        for _ in 0..apis {
            house.start(Door::Api, |_| {}).await?;
        }
        for _ in 0..workers {
            house.start(Door::Worker, |_| {}).await?;
        }
        Ok(house)
    }

    /// Starts one more door, with changes to what is usual, and waits until it is ready.
    pub(crate) async fn start(&mut self, door: Door, change: impl FnOnce(&mut Role)) -> anyhow::Result<()> {
        let mut process = self.prepare(door, change)?;
        process.start_ready().await?;
        self.of(door).push(process);
        Ok(())
    }

    /// A door that is not started yet.
    pub(crate) fn prepare(&mut self, door: Door, change: impl FnOnce(&mut Role)) -> anyhow::Result<Process> {
        let name = format!("{}-{}", door.name(), self.of(door).len() + 1);
        let mut role = Role {
            program: self.programs.path(&format!("trunkline-{}", door.name())),
            wrapper: Vec::new(),
            environment: SETTINGS
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
            port: free_port()?,
            admin_port: free_port()?,
            log: self.folder.join(format!("{name}.log")),
            name,
        };
        role.set("DATABASE_URL", self.database.url());
        role.set("TRUNKLINE__ADMIN__BIND", &format!("127.0.0.1:{}", role.admin_port));
        if door != Door::Worker {
            let key = format!("TRUNKLINE__{}__BIND", door.name().to_uppercase());
            role.set(&key, &format!("127.0.0.1:{}", role.port));
        }
        for (name, value) in &self.told {
            role.set(name, value);
        }
        change(&mut role);
        Ok(Process::new(role))
    }

    /// Creates a tenant whose events go to that path of the sink.
    pub(crate) async fn tenant(&self, tenant_id: &str, path: &str) -> anyhow::Result<Tenant> {
        self.tenant_at(tenant_id, &self.sink.url(path)).await
    }

    /// Creates a tenant whose events go to that URL.
    pub(crate) async fn tenant_at(&self, tenant_id: &str, url: &str) -> anyhow::Result<Tenant> {
        let port = self.apis.first().context("no api runs")?.role.port;
        let body = serde_json::json!({ "tenant_id": tenant_id, "target_url": url }).to_string();
        let reply = Client::new().post(port, "/v1/tenants", OPERATOR_KEY, &[], body).await?;
        ensure!(reply.status == 201, "creating {tenant_id}: {}", String::from_utf8_lossy(&reply.body));
        let made = reply.json()?;
        let api_key = made["api_key"].as_str().context("a tenant without an api_key")?;
        Ok(Tenant { tenant_id: tenant_id.to_owned(), api_key: api_key.to_owned() })
    }

    /// Where publishers go: every api in turn.
    pub(crate) fn apis_in_turn(&self) -> Rotation {
        Rotation::fixed(self.apis.iter().map(|api| api.role.port).collect())
    }

    /// Freezes all workers, counts what is claimed, and returns it: what a kill of any of them right after can make come
    /// twice. Frozen, so that nothing is claimed or recorded between the count and the kill.
    pub(crate) async fn freeze_and_count(&self) -> anyhow::Result<u64> {
        for worker in self.workers.iter().filter(|worker| worker.is_running()) {
            worker.freeze()?;
        }
        self.database.claimed().await
    }

    /// Freezes a worker, counts what it has claimed, and returns that: what killing it right after can make come twice.
    pub(crate) async fn freeze_and_count_of(&self, worker: usize) -> anyhow::Result<u64> {
        self.workers[worker].freeze()?;
        self.database.claimed_by(self.workers[worker].id()?.as_raw()).await
    }

    /// How much can be sent to one endpoint, and then again, while nothing can be written down for that long: in each
    /// lease as much as all workers may have in flight there.
    pub(crate) fn unrecorded_max(&self, outage: Duration) -> u64 {
        let leases = 1 + outage.as_secs().div_ceil(LEASE.as_secs());
        self.workers.len() as u64 * ENDPOINT_CONCURRENCY * leases
    }

    pub(crate) fn thaw(&self) -> anyhow::Result<()> {
        for worker in self.workers.iter().filter(|worker| worker.is_running()) {
            worker.thaw()?;
        }
        Ok(())
    }

    /// Stops every door in order, then PostgreSQL.
    pub(crate) async fn close(&mut self) -> anyhow::Result<()> {
        let doors = self.apis.iter_mut().chain(&mut self.workers).chain(&mut self.receivers);
        for process in doors.filter(|process| process.is_running()) {
            process.stop().await?;
        }
        self.server.stop().await
    }

    fn of(&mut self, door: Door) -> &mut Vec<Process> {
        match door {
            Door::Api => &mut self.apis,
            Door::Worker => &mut self.workers,
            Door::Receiver => &mut self.receivers,
        }
    }

    pub(crate) async fn migrate(&self) -> anyhow::Result<()> {
        self.migrate_by(&self.programs).await
    }

    /// As another release would.
    pub(crate) async fn migrate_by(&self, programs: &Programs) -> anyhow::Result<()> {
        let mut migrate = Command::new(programs.path("trunkline"));
        migrate.arg("migrate").env("DATABASE_URL", self.database.url()).stdin(Stdio::null());
        let output = migrate.output().await.context("running `trunkline migrate`")?;
        ensure!(output.status.success(), "trunkline migrate: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }
}

impl Role {
    /// Sends its connections to the database through a proxy.
    pub(crate) fn reach_database_at(&mut self, database: &Database, port: u16) {
        self.set("DATABASE_URL", &database.url_at(port));
    }

    /// Sets a variable of its environment, in place of what was set before.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }
}
