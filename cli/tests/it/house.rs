//! `trunkline dev` for as long as a test needs it.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::Value;

use crate::process::{eventually, feed, json, lines, signal, text, trunkline, wait};

/// A start has initdb in it, on a machine that may be compiling beside.
const START_PATIENCE: Duration = Duration::from_secs(90);
const LAST_LINE: &str = "Ctrl-C stops everything.";

/// A running `trunkline dev` on free ports.
pub(crate) struct House {
    child: Child,
    stderr: Option<JoinHandle<String>>,
    /// Its folder.
    pub(crate) folder: PathBuf,
    /// What it printed until it was up.
    pub(crate) banner: Vec<String>,
    /// Its dev.json.
    pub(crate) file: Value,
}

impl House {
    /// Starts one in `folder` and waits until it says that it is up.
    pub(crate) fn start(folder: &Path, more: &[&str]) -> Self {
        Self::start_with(folder, more, &[])
    }

    /// The same with environment variables.
    pub(crate) fn start_with(folder: &Path, more: &[&str], variables: &[(&str, &str)]) -> Self {
        let folder_text = folder.to_str().unwrap();
        let ports = ["--api-port", "0", "--receiver-port", "0", "--admin-port", "0"];
        let mut child = trunkline(&["dev", "--data-dir", folder_text])
            .args(ports)
            .args(more)
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pipe = child.stderr.take().unwrap();
        let stderr = thread::spawn(move || {
            let mut bytes = Vec::new();
            pipe.read_to_end(&mut bytes).unwrap();
            text(&bytes)
        });
        let printed = lines(child.stdout.take().unwrap());
        let mut banner = Vec::new();
        while banner.last().is_none_or(|line| line != LAST_LINE) {
            match printed.recv_timeout(START_PATIENCE) {
                Ok(line) => banner.push(line),
                Err(_) => {
                    signal(child.id(), "TERM");
                    panic!("the house did not come up: {}", stderr.join().unwrap());
                }
            }
        }
        let file = fs::read(folder.join("dev.json")).unwrap();
        let file = serde_json::from_slice(&file).unwrap();
        Self { child, stderr: Some(stderr), folder: folder.to_owned(), banner, file }
    }

    /// Sends a signal and waits for the end; answers what went to standard error.
    pub(crate) fn stop_by(mut self, name: &str) -> String {
        assert!(signal(self.child.id(), name));
        let status = wait(&mut self.child);
        let stderr = self.stderr.take().unwrap().join().unwrap();
        assert!(status.success(), "{status}: {stderr}");
        stderr
    }

    /// A text of dev.json.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.file[name].as_str().unwrap()
    }

    /// The key of a tenant.
    pub(crate) fn key(&self, tenant_id: &str) -> &str {
        self.tenant(tenant_id)["api_key"].as_str().unwrap()
    }

    /// What dev.json says of a tenant.
    pub(crate) fn tenant(&self, tenant_id: &str) -> &Value {
        let tenants = self.file["tenants"].as_array().unwrap();
        tenants.iter().find(|tenant| tenant["tenant_id"] == tenant_id).unwrap()
    }

    /// Runs another `trunkline` that finds this house by its folder.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = trunkline(arguments);
        command.arg("--data-dir").arg(&self.folder);
        command
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Publishes a payload as `test-tenant`; answers what `send --json` printed.
    pub(crate) fn send(&self, payload: &str) -> Value {
        json(&feed(&mut self.command(&["send", "--json"]), payload))
    }

    /// The event's status and attempts, once it has that status.
    pub(crate) fn await_status(&self, event_id: &str, tenant_id: &str, status: &str) -> Value {
        eventually(&format!("{event_id} {status}"), || {
            let shown = json(&self.run(&["events", "show", event_id, "--json", "--tenant", tenant_id]));
            (shown["event"]["status"] == status).then_some(shown)
        })
    }
}

/// A test that fails in the middle leaves nothing running either.
impl Drop for House {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            signal(self.child.id(), "TERM");
            let _status = self.child.wait();
        }
    }
}
