//! The publisher: a process of its own that sends as ordered and counts what it is told.
//!
//! It shares the machine with what it measures, so it is as cheap as it can be: one thread, one `epoll`, requests made
//! once and patched, answers read no further than needed.

mod connection;
mod engine;
mod pace;
mod requests;

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

use crate::percentiles::Percentiles;
use crate::proc_stat;

/// What to send.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Order {
    /// Where to; connections are dealt out over them in turn.
    pub(crate) targets: Vec<SocketAddr>,
    /// The path of every request.
    pub(crate) path: String,
    /// API keys, used in turn, request by request.
    pub(crate) keys: Vec<String>,
    /// What each request carries.
    pub(crate) body: Body,
    /// Connections, kept alive.
    pub(crate) connections: usize,
    /// When the next request is sent.
    pub(crate) pace: Pace,
    /// When it is enough.
    pub(crate) until: Until,
    /// Seconds at the start that are sent but not counted.
    pub(crate) warm_up_seconds: f64,
    /// Where to note which event was answered when, if that is wanted.
    pub(crate) ledger: Option<PathBuf>,
}

/// What a request carries.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Body {
    /// One event whose payload has this many bytes.
    Event {
        /// 64 or more.
        bytes: usize,
    },
    /// Many events, each of this many bytes.
    Batch {
        /// How many.
        events: usize,
        /// 64 or more.
        bytes: usize,
    },
}

/// When the next request is sent.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Pace {
    /// As soon as a connection is free: a closed loop.
    AsFastAsAnswered,
    /// So many a second, by a schedule that answers do not hold up; the wait for a free connection counts as time.
    PerSecond(f64),
}

/// When it is enough.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Until {
    /// So many requests.
    Requests(u64),
    /// So many seconds after the warm-up.
    Seconds(f64),
}

/// What came of it. Everything but the two sums is counted in the window only.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Tally {
    /// Requests sent, warm-up included.
    pub(crate) sent: u64,
    /// Answered 2xx.
    pub(crate) accepted: u64,
    /// Answered 429 or 503.
    pub(crate) refused: u64,
    /// Where the window begins and ends, by [`monotonic_ns`](crate::clock::monotonic_ns).
    pub(crate) from_ns: u64,
    pub(crate) until_ns: u64,
    /// From the moment a request was to be sent to its answer, of those accepted.
    pub(crate) answer: Percentiles,
    /// CPU seconds of the publisher itself, in all.
    pub(crate) cpu_seconds: f64,
}

impl Tally {
    /// How long the window was.
    pub(crate) fn seconds(&self) -> f64 {
        (self.until_ns - self.from_ns) as f64 / 1e9
    }

    pub(crate) fn accepted_per_second(&self) -> f64 {
        self.accepted as f64 / self.seconds()
    }
}

/// Sends in a process of its own and waits for its end.
pub(crate) fn send(order: &Order) -> anyhow::Result<Tally> {
    start(order)?.finish()
}

/// A publisher at work. It ends by itself.
pub(crate) struct Load(std::process::Child);

/// Starts to send.
pub(crate) fn start(order: &Order) -> anyhow::Result<Load> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("load").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().context("starting the publisher")?;
    let mut input = child.stdin.take().context("its input is piped")?;
    input.write_all(&serde_json::to_vec(order)?)?;
    Ok(Load(child))
}

impl Load {
    /// Waits until everything is sent and answered.
    pub(crate) fn finish(self) -> anyhow::Result<Tally> {
        let output = self.0.wait_with_output()?;
        ensure!(output.status.success(), "the publisher failed; it says above why");
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

/// The publisher's own life: an order on standard input, a tally on standard output.
pub(crate) fn run() -> anyhow::Result<()> {
    let mut text = Vec::new();
    std::io::stdin().read_to_end(&mut text)?;
    let order: Order = serde_json::from_slice(&text)?;
    let mut tally = engine::send(&order)?;
    tally.cpu_seconds = proc_stat::cpu_seconds(std::process::id());
    std::io::stdout().write_all(&serde_json::to_vec(&tally)?)?;
    Ok(())
}
