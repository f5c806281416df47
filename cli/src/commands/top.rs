//! `trunkline top`: the live state in a terminal, or once for scripts.

mod metrics_page;
mod screen;
mod snapshot;
mod text;

use std::time::{Duration, Instant};

use clap::Args;
use trunkline_store::{Connection, Purpose};

use crate::failure::Failure;
use crate::operator::{OperatorOptions, block_on, connect};
use crate::output::Output;
use metrics_page::MetricsPage;
use screen::Screen;
use snapshot::{Reading, Snapshot};

/// Rates of a single snapshot are taken over this time; the server's counters run a second behind.
const ONCE_WAIT: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
#[command(
    after_help = "Keys: q or Ctrl-C ends. What waits is counted to 1,000 for each endpoint; beyond that it is an estimate."
)]
pub(crate) struct Options {
    #[command(flatten)]
    operator: OperatorOptions,
    /// Print one snapshot and end
    #[arg(long)]
    once: bool,
    /// Time between two looks
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = interval)]
    interval: Duration,
    /// Admin listener of a door, such as http://127.0.0.1:8082: adds what only that process knows; may be given several times
    #[arg(long, value_name = "URL")]
    admin_url: Vec<String>,
    /// Endpoints shown at most
    #[arg(long, value_name = "COUNT", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=500))]
    endpoints: u16,
}

pub(crate) fn run(options: &Options, output: &Output) -> anyhow::Result<()> {
    let settings = options.operator.settings(*output)?;
    let cap = settings.worker.endpoint_concurrency;
    block_on(async {
        let mut connection = connect(&settings, Purpose::Engine).await?;
        let before = Reading::take(&mut connection).await?;
        if options.once {
            tokio::time::sleep(ONCE_WAIT).await;
            let (_, snapshot) = look(options, &mut connection, cap, &before).await?;
            return output.result(&snapshot, || text::lines(&snapshot).join("\n"));
        }
        if output.is_json() {
            return stream(options, *output, &mut connection, cap, before).await;
        }
        show(options, &mut connection, cap, before).await
    })
}

async fn look(
    options: &Options,
    connection: &mut Connection,
    endpoint_concurrency: usize,
    before: &Reading,
) -> anyhow::Result<(Reading, Snapshot)> {
    let now = Reading::take(connection).await?;
    let mut snapshot =
        Snapshot::take(connection, before, &now, endpoint_concurrency, usize::from(options.endpoints))
            .await?;
    for url in &options.admin_url {
        snapshot.processes.push(MetricsPage::get(url).await?.process(url));
    }
    Ok((now, snapshot))
}

/// A line of JSON for each look, until somebody ends it.
async fn stream(
    options: &Options,
    output: Output,
    connection: &mut Connection,
    endpoint_concurrency: usize,
    mut before: Reading,
) -> anyhow::Result<()> {
    loop {
        tokio::time::sleep(options.interval).await;
        let (now, snapshot) = look(options, connection, endpoint_concurrency, &before).await?;
        output.result(&snapshot, String::new)?;
        before = now;
    }
}

/// Redraws until somebody ends it.
async fn show(
    options: &Options,
    connection: &mut Connection,
    endpoint_concurrency: usize,
    mut before: Reading,
) -> anyhow::Result<()> {
    let mut screen = Screen::open().map_err(|error| {
        Failure::Usage(format!("this is no terminal ({error}); use --once, or --json for a stream"))
    })?;
    let mut wait = Duration::from_millis(500);
    loop {
        let next = Instant::now() + wait;
        // Waiting for a key blocks the thread; nothing else runs on it meanwhile.
        if screen.wants_end_before(next)? {
            return Ok(());
        }
        let (now, snapshot) = look(options, connection, endpoint_concurrency, &before).await?;
        screen.draw(&text::lines(&snapshot))?;
        before = now;
        wait = options.interval;
    }
}

fn interval(text: &str) -> Result<Duration, String> {
    let range = Duration::from_millis(500)..=Duration::from_secs(3_600);
    let parsed = humantime::parse_duration(text).ok().filter(|interval| range.contains(interval));
    parsed.ok_or_else(|| "accepts a duration from 500ms to 1h, such as 2s".to_owned())
}
