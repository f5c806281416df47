//! The endpoint: a process of its own that answers 200 and notes what arrived when. Measures ask it over the same port,
//! under paths that begin with `/-/`.

mod connection;
mod control;
mod request;
mod serve;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use serde::{Deserialize, Serialize};

use crate::ledger::{self, Entry};
use crate::process::Process;
use crate::run::Run;

pub(crate) use serve::run;

/// What endpoints of a measure share, so that the sink can verify any of them: no secret of anybody.
pub(crate) const SECRET: &str = "whsec_YmVuY2gtYmVuY2gtYmVuY2gtYmVuY2gtYmVuY2gtYmU=";

/// Of the deliveries under load one in this many is verified: HMACs over all would be the sink's largest cost.
pub(crate) const SAMPLE: u64 = 100;

/// How much the sink has seen.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// Requests that arrived, whatever they were.
    pub(crate) arrived: u64,
    /// Whose signatures were verified.
    pub(crate) verified: u64,
    /// Which did not hold, or were missing.
    pub(crate) badly_signed: u64,
}

/// A running sink.
pub(crate) struct Sink {
    process: Process,
    port: u16,
    file: PathBuf,
    /// Keeps its connection: a measure asks many times a second.
    agent: ureq::Agent,
}

impl Sink {
    /// Starts it; one delivery in `verify_every` is verified, 0 = none.
    pub(crate) fn start(run: &Run, verify_every: u64) -> anyhow::Result<Self> {
        let (process, port) = Process::start_part("sink", &run.guard)?;
        let file = run.folder.join(format!("arrivals-{port}"));
        let sink = Self { process, port, file, agent: ureq::agent() };
        sink.ask("verify", &verify_every.to_string())?;
        Ok(sink)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// The URL of an endpoint here.
    pub(crate) fn url(&self, endpoint: u32) -> String {
        format!("http://127.0.0.1:{}/e/{endpoint}", self.port)
    }

    /// An endpoint here has a secret of its own.
    pub(crate) fn know_secret(&self, endpoint: u32, secret: &str) -> anyhow::Result<()> {
        self.ask("secret", &format!("{endpoint} {secret}")).map(|_| ())
    }

    /// What has arrived so far.
    pub(crate) fn seen(&self) -> anyhow::Result<Seen> {
        Ok(serde_json::from_str(&self.ask("seen", "")?)?)
    }

    /// Waits until so many have arrived; an error when none comes for the time given.
    pub(crate) fn wait_for(&self, wanted: u64, silence: Duration) -> anyhow::Result<()> {
        let (mut last, mut since) = (0, Instant::now());
        loop {
            let arrived = self.seen()?.arrived;
            if arrived >= wanted {
                return Ok(());
            }
            if arrived > last {
                (last, since) = (arrived, Instant::now());
            }
            if since.elapsed() > silence {
                bail!("{arrived} of {wanted} have arrived, and nothing came for {silence:?}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Everything that arrived since the last time, and makes sure that every signature looked at was good.
    pub(crate) fn take(&self) -> anyhow::Result<Vec<Entry>> {
        let seen = self.seen()?;
        ensure!(seen.badly_signed == 0, "{} of {} signatures were bad", seen.badly_signed, seen.verified);
        self.ask("take", &self.file.display().to_string())?;
        ledger::take(&self.file)
    }

    pub(crate) fn cpu_seconds(&self) -> f64 {
        self.process.cpu_seconds()
    }

    fn ask(&self, what: &str, body: &str) -> anyhow::Result<String> {
        let url = format!("http://127.0.0.1:{}/-/{what}", self.port);
        Ok(self.agent.post(url).send(body)?.body_mut().read_to_string()?)
    }
}
