//! Runs `trunkline`, and `trunkline dev` for as long as a test needs it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A start has initdb in it, on a machine that may be compiling beside.
const START_PATIENCE: Duration = Duration::from_secs(90);
const STOP_PATIENCE: Duration = Duration::from_secs(15);
const LAST_LINE: &str = "Ctrl-C stops everything.";

/// `trunkline` with an environment of its own: nothing of the developer's shell is heard.
pub(crate) fn trunkline(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline"));
    command
        .env_clear()
        .env("PATH", std::env!("PATH"))
        .args(arguments)
        .stdin(Stdio::null());
    command
}

/// Runs it to its end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    trunkline(arguments).output().unwrap()
}

/// Runs it to its end with something on its standard input.
pub(crate) fn feed(command: &mut Command, input: &str) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may end without reading all of it.
    let _closed = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

/// What it printed, which must be JSON, after an end with exit code 0.
pub(crate) fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(&output.stdout)))
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Lines of a pipe, as they come.
pub(crate) fn lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        BufReader::new(pipe)
            .lines()
            .map_while(Result::ok)
            .try_for_each(|line| sender.send(line))
    });
    receiver
}

/// Asks until `look` has something, for ten seconds at most.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "{what} did not happen in 10 s"
        );
        thread::sleep(Duration::from_millis(20));
    }
}

/// Sends a signal, such as `TERM`.
pub(crate) fn signal(pid: u32, name: &str) -> bool {
    let status = Command::new("kill")
        .args(["-s", name, &pid.to_string()])
        .stderr(Stdio::null())
        .status();
    status.unwrap().success()
}

/// Waits for a process's end, with a bound.
pub(crate) fn wait(child: &mut Child) -> ExitStatus {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(
            started.elapsed() < STOP_PATIENCE,
            "the process did not stop in {STOP_PATIENCE:?}"
        );
        thread::sleep(Duration::from_millis(10));
    }
}

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
        let folder_text = folder.to_str().unwrap();
        let ports = ["--api-port", "0", "--receiver-port", "0", "--admin-port", "0"];
        let mut child = trunkline(&["dev", "--data-dir", folder_text])
            .args(ports)
            .args(more)
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
        Self {
            child,
            stderr: Some(stderr),
            folder: folder.to_owned(),
            banner,
            file,
        }
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
        tenants
            .iter()
            .find(|tenant| tenant["tenant_id"] == tenant_id)
            .unwrap()
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

/// GET with an optional key: status and body.
pub(crate) fn get(url: &str, key: Option<&str>) -> (u16, String) {
    let mut request = agent().get(url);
    if let Some(key) = key {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    answer(request.call())
}

/// POST with headers: status and body.
pub(crate) fn post(url: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
    let mut request = agent().post(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    answer(if body.is_empty() {
        request.send_empty()
    } else {
        request.send(body)
    })
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .proxy(None)
        .build()
        .new_agent()
}

fn answer(answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> (u16, String) {
    let mut answer = answer.unwrap();
    (
        answer.status().as_u16(),
        answer.body_mut().read_to_string().unwrap(),
    )
}
