//! A door as a real process: started, frozen, killed, stopped in order.

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use crate::http_client;

/// How long a door may take from its start until `/readyz` says so, the database being there.
const READY_PATIENCE: Duration = Duration::from_secs(20);

/// Far beyond what R5 allows; what takes longer is killed and reported.
const STOP_PATIENCE: Duration = Duration::from_secs(60);

/// What to start, over and over.
#[derive(Clone)]
pub(crate) struct Role {
    /// Such as `worker-1`: in the log's name and in reports.
    pub(crate) name: String,
    pub(crate) program: PathBuf,
    /// A program that runs it, with its arguments, such as `prlimit --nofile=64`.
    pub(crate) wrapper: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    /// Where it listens, for an api or receiver.
    pub(crate) port: u16,
    pub(crate) admin_port: u16,
    pub(crate) log: PathBuf,
}

/// A role, and the process that plays it now.
pub(crate) struct Process {
    pub(crate) role: Role,
    child: Option<Child>,
}

/// How a process went when it was asked to.
pub(crate) struct Stopped {
    pub(crate) code: Option<i32>,
    pub(crate) took: Duration,
}

impl Process {
    pub(crate) fn new(role: Role) -> Self {
        Self { role, child: None }
    }

    /// Starts it; does not wait until it is ready.
    pub(crate) fn start(&mut self) -> anyhow::Result<()> {
        ensure!(self.child.is_none(), "{} runs already", self.role.name);
        let log = OpenOptions::new().create(true).append(true).open(&self.role.log)?;
        // Whatever becomes of this program, nothing it started stays behind.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).args(&self.role.wrapper).arg(&self.role.program);
        command.env_remove("DATABASE_URL").envs(self.role.environment.iter().cloned());
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
        self.child = Some(command.spawn().with_context(|| format!("starting {}", self.role.name))?);
        Ok(())
    }

    /// Starts it and waits until it is ready.
    pub(crate) async fn start_ready(&mut self) -> anyhow::Result<()> {
        self.start()?;
        self.until_ready().await
    }

    pub(crate) async fn until_ready(&mut self) -> anyhow::Result<()> {
        let started = Instant::now();
        while !self.is_ready().await {
            if self.has_ended()? {
                bail!("{} ended instead of becoming ready; see {}", self.role.name, self.role.log.display());
            }
            ensure!(started.elapsed() < READY_PATIENCE, "{} did not become ready", self.role.name);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    pub(crate) async fn is_ready(&self) -> bool {
        http_client::get(self.role.admin_port, "/readyz").await.is_ok_and(|reply| reply.status == 200)
    }

    /// The value of a metric, summed over its labels; 0 where it was never counted.
    pub(crate) async fn metric(&self, name: &str) -> anyhow::Result<f64> {
        let reply = http_client::get(self.role.admin_port, "/metrics").await?;
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        let of_name = |line: &&str| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ') || rest.starts_with('{'))
        };
        let values = text.lines().filter(of_name).filter_map(|line| line.rsplit(' ').next());
        Ok(values.filter_map(|value| value.parse::<f64>().ok()).sum())
    }

    pub(crate) fn id(&self) -> anyhow::Result<Pid> {
        let id = self.child.as_ref().and_then(Child::id).context("it does not run")?;
        Ok(Pid::from_raw(i32::try_from(id)?))
    }

    pub(crate) fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// Whether it ended by itself.
    pub(crate) fn has_ended(&mut self) -> anyhow::Result<bool> {
        match &mut self.child {
            Some(child) => Ok(child.try_wait()?.is_some()),
            None => Ok(true),
        }
    }

    /// SIGSTOP: it exists, holds its connections, and does nothing.
    pub(crate) fn freeze(&self) -> anyhow::Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// SIGCONT.
    pub(crate) fn thaw(&self) -> anyhow::Result<()> {
        self.signal(Signal::SIGCONT)
    }

    pub(crate) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        kill(self.id()?, signal).with_context(|| format!("{signal} to {}", self.role.name))
    }

    /// SIGKILL, and waits until the system has cleared it away.
    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        let mut child = self.child.take().with_context(|| format!("{} does not run", self.role.name))?;
        child.kill().await.with_context(|| format!("killing {}", self.role.name))
    }

    /// SIGTERM, and waits for the end.
    pub(crate) async fn stop(&mut self) -> anyhow::Result<Stopped> {
        self.signal(Signal::SIGTERM)?;
        let started = Instant::now();
        let mut child = self.child.take().context("it does not run")?;
        let Ok(status) = tokio::time::timeout(STOP_PATIENCE, child.wait()).await else {
            child.kill().await?;
            bail!("{} did not stop within {STOP_PATIENCE:?}", self.role.name);
        };
        Ok(Stopped { code: status?.code(), took: started.elapsed() })
    }
}
