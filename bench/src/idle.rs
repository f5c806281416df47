//! How soon an event arrives while nothing else happens.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::Args;
use http::Method;
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval, timeout};
use trunkline_signing::Secret;

use crate::dev::Dev;
use crate::http_client::Client;
use crate::report::{Figures, percentile_ms};
use crate::sink;

/// After the last event, how long arrivals may still take.
const LAST_ARRIVAL: Duration = Duration::from_secs(10);

/// What to send.
#[derive(Args)]
pub(crate) struct Options {
    /// Events a second.
    #[arg(long, default_value_t = 20)]
    rate: u32,
    /// For how long.
    #[arg(long, default_value_t = 30)]
    seconds: u32,
}

/// Publishes at an even rate, each event once the one before was answered, and measures from its 201 to its arrival.
pub(crate) async fn measure(dev: &Dev, options: &Options) -> anyhow::Result<Figures> {
    let tenant = dev.tenant()?;
    let secret = Secret::from_stored(&tenant.webhook_secret)?;
    let (address, mut arrivals) = sink::listen(secret).await?;
    let client = Client::new(&dev.facts.api_url, &tenant.api_key);
    let before = client.send(Method::GET, "/v1/tenants/current", String::new()).await?;
    let target = json!({ "target_url": format!("http://{address}/") });
    client.send(Method::PATCH, "/v1/tenants/current", target.to_string()).await?;
    // The worker believes an endpoint's row for a second.
    tokio::time::sleep(Duration::from_millis(1_500)).await;

    let answered = publish(&client, options).await?;
    let mut waits = Vec::with_capacity(answered.len());
    let mut seen = HashMap::new();
    while seen.len() < answered.len() {
        let arrival = timeout(LAST_ARRIVAL, arrivals.recv()).await.context("an event did not arrive")?;
        let arrival = arrival.context("the sink ended")?;
        ensure!(arrival.is_signed, "a delivery came without a valid signature");
        let Some(answered_at) = answered.get(&arrival.event_id) else {
            continue;
        };
        // It may arrive before its own 201 was read: that is no time at all.
        waits.push(arrival.at.saturating_duration_since(*answered_at));
        *seen.entry(arrival.event_id).or_insert(0) += 1;
    }
    if waits.len() != answered.len() {
        bail!("{} arrivals for {} events", waits.len(), answered.len());
    }
    let restore = json!({ "target_url": before["tenant"]["target_url"] });
    client.send(Method::PATCH, "/v1/tenants/current", restore.to_string()).await?;

    waits.sort();
    let mut figures = Figures::new("idle");
    figures.add("events", waits.len() as f64, "");
    figures.add("rate", f64::from(options.rate), "1/s");
    figures.add("201_to_arrival_p50", percentile_ms(&waits, 50), "ms");
    figures.add("201_to_arrival_p99", percentile_ms(&waits, 99), "ms");
    figures.add("201_to_arrival_max", percentile_ms(&waits, 100), "ms");
    Ok(figures)
}

/// Returns when each event was answered.
async fn publish(client: &Client, options: &Options) -> anyhow::Result<HashMap<String, Instant>> {
    let total = options.rate * options.seconds;
    let mut ticks = interval(Duration::from_secs(1) / options.rate.max(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut answered = HashMap::new();
    for number in 0..total {
        ticks.tick().await;
        let event = json!({ "type": "bench.idle", "number": number });
        let answer = client.send(Method::POST, "/v1/events", event.to_string()).await?;
        let id = answer["event_id"].as_str().context("the answer names no event")?;
        answered.insert(id.to_owned(), Instant::now());
        if (number + 1) % (options.rate * 5).max(1) == 0 {
            crate::report::progress(number + 1, total);
        }
    }
    Ok(answered)
}
