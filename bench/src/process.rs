//! A program of ours that was started, and is stopped by its id.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::guard::Guard;
use crate::proc_stat;

/// A worker drains for up to 22 s.
const STOP_PATIENCE: Duration = Duration::from_secs(30);

/// A running process; dropping it kills it.
pub(crate) struct Process {
    child: Child,
    name: String,
    guard: Guard,
}

impl Process {
    /// Starts it, known to the guard from then on.
    pub(crate) fn start(name: &str, command: &mut Command, guard: &Guard) -> anyhow::Result<Self> {
        let child = command.spawn().with_context(|| format!("starting {name}"))?;
        guard.watch(child.id());
        Ok(Self { child, name: name.to_owned(), guard: guard.clone() })
    }

    /// Starts a part of this very program, which says on its first line where it listens.
    pub(crate) fn start_part(part: &str, guard: &Guard) -> anyhow::Result<(Self, u16)> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(part).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = Self::start(part, &mut command, guard)?;
        let output = process.child.stdout.take().context("its output is piped")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let port = line.trim().parse().with_context(|| format!("{part} does not say its port"))?;
        Ok((process, port))
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn cpu_seconds(&self) -> f64 {
        proc_stat::cpu_seconds(self.id())
    }

    /// Whether it ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Asks it to stop and waits for its end.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        let process = Pid::from_raw(i32::try_from(self.id())?);
        kill(process, Signal::SIGTERM).with_context(|| format!("stopping {}", self.name))?;
        let asked = Instant::now();
        while self.child.try_wait()?.is_none() {
            if asked.elapsed() > STOP_PATIENCE {
                bail!("{} did not stop within {STOP_PATIENCE:?}", self.name);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail on a process that ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.guard.forget(self.id());
    }
}
