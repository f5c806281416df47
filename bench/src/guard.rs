//! The process that cleans up behind a run however it ends: it is told what was started, and when the pipe to it closes,
//! because the run is over or was killed, it stops what is left and removes the run's folder.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, Write, stdin};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long processes may take to stop when asked.
const PATIENCE: Duration = Duration::from_secs(15);

/// Tells the guard what was started. Clones share one guard; the last one to be dropped waits for its work.
#[derive(Clone)]
pub(crate) struct Guard(Arc<Mutex<Line>>);

struct Line {
    child: Child,
    pipe: Option<ChildStdin>,
}

impl Guard {
    /// Starts the guard of a folder.
    pub(crate) fn start(folder: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("guard").arg(folder).stdin(Stdio::piped());
        // In a group of its own, so that Ctrl-C in a terminal does not end it with the others.
        let mut child = command.process_group(0).spawn().context("starting the guard")?;
        let pipe = child.stdin.take();
        Ok(Self(Arc::new(Mutex::new(Line { child, pipe }))))
    }

    /// A process was started.
    pub(crate) fn watch(&self, process: u32) {
        self.tell(&format!("+{process}\n"));
    }

    /// A process was stopped, and its number may be given again.
    pub(crate) fn forget(&self, process: u32) {
        self.tell(&format!("-{process}\n"));
    }

    fn tell(&self, line: &str) {
        if let Ok(mut inner) = self.0.lock()
            && let Some(pipe) = &mut inner.pipe
        {
            // A guard that was killed cannot be helped; the run goes on.
            let _ = pipe.write_all(line.as_bytes());
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        drop(self.pipe.take());
        let _ = self.child.wait();
    }
}

/// The guard's own life: reads until the pipe ends, then cleans up.
pub(crate) fn keep(folder: &Path) -> anyhow::Result<()> {
    let mut processes = BTreeSet::new();
    for line in stdin().lock().lines().map_while(Result::ok) {
        match line.split_at_checked(1) {
            Some(("+", process)) => processes.extend(process.parse::<i32>()),
            Some(("-", process)) => processes.retain(|known| Ok(*known) != process.parse()),
            _ => {}
        }
    }
    let is_alive = |process: &i32| kill(Pid::from_raw(*process), None).is_ok();
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        processes.retain(|process| kill(Pid::from_raw(*process), signal).is_ok());
        wait_until(|| !processes.iter().any(is_alive));
    }
    // PostgreSQL has a guard of its own, which saw its pipe close when the run ended.
    wait_until(|| servers(folder).is_empty());
    fs::remove_dir_all(folder).with_context(|| format!("removing {}", folder.display()))
}

/// The pid files of servers that run in the folder.
fn servers(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path().join("postgres/postmaster.pid")).filter(|file| file.exists()).collect()
}

fn wait_until(is_done: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_done() && started.elapsed() < PATIENCE {
        sleep(Duration::from_millis(50));
    }
}
