use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::TestDatabase;

/// `test:` and the key of [`settings`](crate::settings), so that a program opens what a test sealed.
const SECRETS_KEY: &str = "test:BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";

/// How long an answer is waited for: far beyond every time limit of a door under test.
const PATIENCE: Duration = Duration::from_secs(30);

/// A door as a process of its own, which ends with the test.
pub struct Program {
    child: Child,
    /// Where it listens, on loopback.
    pub port: u16,
    log: Arc<Mutex<Vec<String>>>,
}

impl Program {
    /// Starts the executable of a door on a free port, with these settings beside those that it needs.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(
        executable: &str,
        door: &str,
        database: &TestDatabase,
        settings: &[(&str, &str)],
    ) -> Self {
        let mut child = Command::new(executable)
            .env_clear()
            .env("TRUNKLINE__DATABASE__URL", database.url())
            .env("TRUNKLINE__SECRETS__KEYS", SECRETS_KEY)
            .env(format!("TRUNKLINE__{}__BIND", door.to_uppercase()), "127.0.0.1:0")
            .env("TRUNKLINE__ADMIN__BIND", "127.0.0.1:0")
            .env("TRUNKLINE__LOG__FORMAT", "json")
            .envs(settings.iter().copied())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = Arc::new(Mutex::new(Vec::new()));
        let port = loop {
            let line = lines.next_line().await.unwrap().expect("the program ended before it had started");
            let told: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
            log.lock().unwrap().push(line);
            if told["message"] == format!("{door} started") {
                break u16::try_from(told["port"].as_u64().unwrap()).unwrap();
            }
        };
        let kept = Arc::clone(&log);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                kept.lock().unwrap().push(line);
            }
        });
        Self { child, port, log }
    }

    /// What it wrote so far, line by line.
    ///
    /// # Panics
    /// Never.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Its memory in KiB: what it has now, and the most it ever had.
    ///
    /// # Panics
    /// When it is not running any more.
    pub fn memory_kib(&self) -> (u64, u64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id().unwrap())).unwrap();
        let of = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
        };
        (of("VmRSS"), of("VmHWM"))
    }
}

/// What follows the bytes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Nothing: the connection stays open.
    Wait,
    /// The end: nothing more will be sent.
    End,
    /// One byte more of this, every now and then, until there is an answer.
    Drip(u8),
}

/// Sends bytes as they are over a connection of their own and returns the status of the answer; `None` if the connection was closed
/// without one.
///
/// # Panics
/// When nothing happens for half a minute.
pub async fn exchange(port: u16, bytes: &[u8], then: Then) -> Option<u16> {
    let (mut from, mut to) = TcpStream::connect(("127.0.0.1", port)).await.unwrap().into_split();
    let send = async {
        // Whoever answers early may not read to the end.
        let _ = to.write_all(bytes).await;
        match then {
            Then::Wait => {}
            Then::End => {
                let _ = to.shutdown().await;
            }
            Then::Drip(byte) => {
                while to.write_all(&[byte]).await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
        std::future::pending::<()>().await;
    };
    let receive = async {
        let mut answer = Vec::new();
        loop {
            // What comes before the answer, such as 100, is none.
            let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
            if let (Some(b'1'), Some(end)) = (answer.get(9), end) {
                answer.drain(..end + 4);
            } else {
                let has_status = answer.len() >= 12 && answer.get(9).is_some_and(|first| *first != b'1');
                if has_status || !matches!(from.read_buf(&mut answer).await, Ok(1..)) {
                    break;
                }
            }
        }
        std::str::from_utf8(answer.get(9..12)?).ok()?.parse().ok()
    };
    let exchanged = async {
        tokio::select! {
            () = send => unreachable!("it never ends"),
            status = receive => status,
        }
    };
    let what = || format!("no answer to {:?}", String::from_utf8_lossy(&bytes[..bytes.len().min(200)]));
    tokio::time::timeout(PATIENCE, exchanged).await.unwrap_or_else(|_| panic!("{}", what()))
}
