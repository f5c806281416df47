//! What one worker's HTTP client can do with no database behind it: the ceiling that the worker is compared with.
//!
//! ```text
//! client_ceiling --url http://127.0.0.1:8081/x --count 100000 --concurrency 64 --payload-bytes 1024
//! {"sent":100000,"failed":0,"seconds":2.5,"cpu_seconds":4.2}
//! ```

#![expect(clippy::print_stdout, reason = "its one line of output is what it is for")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use clap::Parser;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use tokio::task::JoinSet;
use trunkline_domain::AttemptOutcome;
use trunkline_worker::ceiling::Ceiling;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Sends signed deliveries to one endpoint as fast as it takes them.
#[derive(Parser)]
struct Arguments {
    /// Where to; loopback is allowed.
    #[arg(long)]
    url: String,
    /// How many deliveries.
    #[arg(long, default_value_t = 100_000)]
    count: u64,
    /// How many of them at one time.
    #[arg(long, default_value_t = 64)]
    concurrency: usize,
    /// The size of each payload.
    #[arg(long, default_value_t = 1_024)]
    payload_bytes: usize,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let ceiling = Ceiling::new(&arguments.url, arguments.payload_bytes, arguments.concurrency)?;
    let shared = Arc::new((ceiling, AtomicU64::new(0), AtomicU64::new(0)));
    let (started, cpu_before) = (Instant::now(), cpu_seconds()?);
    let mut senders = JoinSet::new();
    for _ in 0..arguments.concurrency {
        let (shared, count) = (shared.clone(), arguments.count);
        senders.spawn(async move {
            let (ceiling, taken, failed) = &*shared;
            while taken.fetch_add(1, Ordering::Relaxed) < count {
                if ceiling.deliver().await.outcome != AttemptOutcome::Succeeded {
                    failed.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    senders.join_all().await;
    let failed = shared.2.load(Ordering::Relaxed);
    println!(
        r#"{{"sent":{},"failed":{failed},"seconds":{:.3},"cpu_seconds":{:.3}}}"#,
        arguments.count - failed,
        started.elapsed().as_secs_f64(),
        cpu_seconds()? - cpu_before,
    );
    Ok(())
}

/// What this process has used so far, in user and system mode.
fn cpu_seconds() -> anyhow::Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(micros as f64 / 1e6)
}
