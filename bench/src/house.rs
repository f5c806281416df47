//! The system under measure, each part a process of its own: PostgreSQL, apis, workers, and tenants made over REST.

mod backlog;
pub(crate) mod door;
pub(crate) mod meter;
pub(crate) mod server;
mod tenants;

use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, ensure};

pub(crate) use tenants::Tenant;

use crate::load::{Body, Order, Pace, Until};
use crate::run::Run;
use crate::sink::Sink;
use door::Door;
use server::Server;

/// Tenants where a measure does not say otherwise; each has one endpoint.
pub(crate) const TENANTS: u32 = 8;

/// Connections of the publisher.
pub(crate) const CONNECTIONS: usize = 64;

/// Bytes of a payload where a measure does not say otherwise.
pub(crate) const PAYLOAD_BYTES: usize = 1_024;

/// More tenants than any measure with several endpoints has.
const STRIDE: u32 = 1_000;

/// A house of a measure's own, on fresh data.
pub(crate) struct House<'a> {
    pub(crate) run: &'a Run,
    pub(crate) server: Server,
    pub(crate) apis: Vec<Door>,
    pub(crate) workers: Vec<Door>,
    pub(crate) tenants: Vec<Tenant>,
}

impl<'a> House<'a> {
    /// Starts PostgreSQL with the schema, one api, and tenants whose endpoints are at the sink. No worker yet.
    pub(crate) fn start(run: &'a Run, sink: &Sink, tenants: u32) -> anyhow::Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let server = Server::start(run.folder.join(format!("database-{number}")))?;
        let mut house = Self { run, server, apis: Vec::new(), workers: Vec::new(), tenants: Vec::new() };
        house.trunkline(&["migrate"])?;
        if house.server.has_statements() {
            house.server.psql("CREATE EXTENSION pg_stat_statements")?;
        }
        house.start_api()?;
        house.add_tenants(sink, tenants)?;
        Ok(house)
    }

    pub(crate) fn start_api(&mut self) -> anyhow::Result<()> {
        self.apis.push(Door::start(self.run, &self.run.programs.api(), self.server.url())?);
        Ok(())
    }

    pub(crate) fn start_worker(&mut self) -> anyhow::Result<()> {
        self.workers.push(Door::start(self.run, &self.run.programs.worker(), self.server.url())?);
        Ok(())
    }

    pub(crate) fn stop_workers(&mut self) -> anyhow::Result<()> {
        self.workers.drain(..).try_for_each(|worker| worker.process.stop())
    }

    /// Makes tenants, numbered on from those there are; endpoint n is `/e/n` at the sink.
    pub(crate) fn add_tenants(&mut self, sink: &Sink, count: u32) -> anyhow::Result<()> {
        let api = self.apis.first().context("tenants are made by an api")?.address;
        let first = u32::try_from(self.tenants.len())?;
        self.tenants.extend(tenants::create(api, sink, first..first + count)?);
        Ok(())
    }

    /// Gives each tenant more endpoints, beside its first; those of a tenant are numbered a [`STRIDE`] apart.
    pub(crate) fn add_endpoints(&self, sink: &Sink, more: u32) -> anyhow::Result<()> {
        for (tenant, number) in self.tenants.iter().zip(0..) {
            for turn in 1..=more {
                let endpoint = number + turn * STRIDE;
                let (name, url) = (format!("endpoint-{turn}"), sink.url(endpoint));
                let text = self.trunkline(&["--json", "endpoint", "add", &tenant.tenant_id, &name, &url])?;
                let made: serde_json::Value = serde_json::from_str(&text)?;
                let secret = made["webhook_secret"].as_str().context("the answer has no secret")?;
                sink.know_secret(endpoint, secret)?;
            }
        }
        Ok(())
    }

    /// Runs `trunkline` as an operator would; its output.
    fn trunkline(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(self.run.programs.trunkline());
        door::configure(&mut command, self.server.url());
        let output = command.current_dir(&self.run.folder).args(arguments).output()?;
        let failure = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "trunkline {}: {}", arguments.join(" "), failure.trim());
        Ok(String::from_utf8(output.stdout)?)
    }

    /// An order to publish here, one event of 1 KiB a request, by all tenants in turn.
    pub(crate) fn order(&self, pace: Pace, until: Until) -> Order {
        Order {
            targets: self.addresses(),
            path: "/v1/events".to_owned(),
            keys: self.tenants.iter().map(|tenant| tenant.key.clone()).collect(),
            body: Body::Event { bytes: PAYLOAD_BYTES },
            connections: CONNECTIONS,
            pace,
            until,
            warm_up_seconds: 0.0,
            ledger: None,
        }
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        self.apis.iter().map(|api| api.address).collect()
    }

    /// Stops everything, the doors first.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        self.stop_workers()?;
        self.apis.drain(..).try_for_each(|api| api.process.stop())?;
        self.server.stop();
        Ok(())
    }
}
