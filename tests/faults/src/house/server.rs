//! A PostgreSQL that really syncs, and the ways it goes down: asked to, told to drop everything, killed with all its
//! processes. It comes back on the same port and data.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use trunkline_boot::private_postgres::{Kind, Options, PrivatePostgres};

use super::ports::free_port;

/// How long a server may take to be gone after it was killed.
const GONE_PATIENCE: Duration = Duration::from_secs(20);

/// A server of our own.
pub(crate) struct Server {
    options: Options,
    running: Option<PrivatePostgres>,
    url: String,
    data: PathBuf,
}

impl Server {
    /// Makes the data in `folder` and starts.
    pub(crate) async fn start(folder: &Path, settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)?;
        // Read by the private server as the port of its last start.
        std::fs::write(folder.join("port"), free_port()?.to_string())?;
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self::open(folder, settings.collect()).await
    }

    /// Starts on what the folder has; makes the data if there are none.
    pub(super) async fn open(folder: &Path, settings: Vec<(String, String)>) -> anyhow::Result<Self> {
        let data_dir = Some(folder.to_owned());
        let options = Options { data_dir, kind: Kind::Persistent, programs: None, settings };
        let running = PrivatePostgres::start(options.clone()).await?;
        let (url, data) = (running.url().to_owned(), running.folder().join("postgres"));
        Ok(Self { options, running: Some(running), url, data })
    }

    /// With what it was started.
    pub(super) fn settings(&self) -> Vec<(String, String)> {
        self.options.settings.clone()
    }

    /// A program of the same installation.
    pub(super) fn program(&self, name: &str) -> anyhow::Result<PathBuf> {
        let postgres = std::fs::read_link(format!("/proc/{}/exe", self.postmaster()?))?;
        Ok(postgres.with_file_name(name))
    }

    /// How to connect as superuser; the same for the server's whole life.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn port(&self) -> anyhow::Result<u16> {
        let port = self.url.rsplit_once(':').and_then(|(_, rest)| rest.split('/').next());
        port.context("the address has no port")?.parse().context("the port is none")
    }

    /// What belongs to the server and lies around its data: the log, the password.
    pub(crate) fn folder(&self) -> &Path {
        self.data.parent().unwrap_or(&self.data)
    }

    /// The data.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// `pg_ctl stop -m immediate`: every process quits without writing anything more.
    pub(crate) async fn quit_immediately(&mut self) -> anyhow::Result<()> {
        let everyone = self.processes()?;
        kill(self.postmaster()?, Signal::SIGQUIT).context("SIGQUIT to the postmaster")?;
        self.until_gone(everyone).await
    }

    /// kill -9 of the postmaster and each of its processes.
    pub(crate) async fn kill_everything(&mut self) -> anyhow::Result<()> {
        let everyone = self.processes()?;
        for process in &everyone {
            // One that ended in this moment is gone all the same.
            let _ = kill(*process, Signal::SIGKILL);
        }
        self.until_gone(everyone).await
    }

    /// Waits for a server that goes down by itself, such as one whose disk is full.
    pub(crate) async fn until_down(&mut self) -> anyhow::Result<()> {
        let everyone = self.processes().unwrap_or_default();
        self.until_gone(everyone).await
    }

    /// Stops it in order.
    pub(crate) async fn stop(&mut self) -> anyhow::Result<()> {
        if let Some(running) = self.running.take() {
            tokio::task::spawn_blocking(move || running.stop()).await?;
        }
        Ok(())
    }

    /// Comes back after any of the above, recovering what a crash left.
    pub(crate) async fn come_back(&mut self) -> anyhow::Result<()> {
        ensure!(self.running.is_none(), "the server is not down");
        let running = PrivatePostgres::start(self.options.clone()).await?;
        ensure!(running.url() == self.url, "the server came back at another port: somebody took its own");
        self.running = Some(running);
        Ok(())
    }

    fn postmaster(&self) -> anyhow::Result<Pid> {
        let text = std::fs::read_to_string(self.data.join("postmaster.pid")).context("no server runs")?;
        Ok(Pid::from_raw(text.lines().next().context("an empty pid file")?.trim().parse()?))
    }

    /// The postmaster first, so that it starts nobody anew while the others are being killed; then all that it has started.
    pub(crate) fn processes(&self) -> anyhow::Result<Vec<Pid>> {
        let postmaster = self.postmaster()?;
        let mut everyone = vec![postmaster];
        everyone.extend(children(postmaster)?);
        Ok(everyone)
    }

    async fn until_gone(&mut self, everyone: Vec<Pid>) -> anyhow::Result<()> {
        let started = Instant::now();
        while everyone.iter().any(|process| is_alive(*process)) {
            if started.elapsed() > GONE_PATIENCE {
                bail!("the server is not gone after {GONE_PATIENCE:?}");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.stop().await
    }
}

/// A process that has ended but was not waited for yet counts as gone: it writes nothing any more.
fn is_alive(process: Pid) -> bool {
    stat_fields(process.as_raw()).is_some_and(|fields| fields.first().is_some_and(|state| state != "Z"))
}

fn children(parent: Pid) -> anyhow::Result<Vec<Pid>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let parent_id = stat_fields(id).and_then(|fields| fields.get(1)?.parse::<i32>().ok());
        if parent_id == Some(parent.as_raw()) {
            found.push(Pid::from_raw(id));
        }
    }
    Ok(found)
}

/// State, parent and so on: what follows the program's name in `/proc/<id>/stat`.
fn stat_fields(id: i32) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    Some(rest.split(' ').map(str::to_owned).collect())
}
