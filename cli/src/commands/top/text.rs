//! The snapshot for a person.

use std::time::Duration;

use super::snapshot::{Endpoint, Snapshot, Worker};
use crate::output::{printable, table};

/// A worker that did not say that it lives for so long is shown as silent.
const SILENT_SECONDS: f64 = 5.0;

pub(super) fn lines(snapshot: &Snapshot) -> Vec<String> {
    let queue = &snapshot.queue;
    let mut lines = vec![
        format!(
            "trunkline  {}  events {:.1}/s  attempts {:.1}/s",
            snapshot.at.format("%Y-%m-%d %H:%M:%S UTC"),
            snapshot.rates.events,
            snapshot.rates.attempts
        ),
        format!(
            "lanes without a worker {}  partitions ahead {} days  oldest transaction {}",
            snapshot.lanes_unowned,
            snapshot.partitions_ahead_days,
            duration(snapshot.oldest_transaction_seconds)
        ),
        String::new(),
    ];
    let about = if queue.is_estimate { "~" } else { "" };
    let due = queue.due.iter().map(|due| {
        let state = format!("due, {}", due.state);
        [state, format!("{about}{}", due.deliveries), duration(due.oldest_seconds)]
    });
    let others =
        [("in flight", queue.in_flight), ("due later", queue.scheduled), ("behind its key", queue.held)];
    let others = others.map(|(state, count)| [state.to_owned(), count.to_string(), String::new()]);
    let rows: Vec<_> = due.chain(others).collect();
    push(&mut lines, &table(["QUEUE", "DELIVERIES", "OLDEST"], &rows));
    let workers: Vec<_> = snapshot.workers.iter().map(worker).collect();
    push(&mut lines, &table(["WORKER", "LANES", "UP", "RELEASE", ""], &workers));
    if !snapshot.endpoints.is_empty() {
        let endpoints: Vec<_> = snapshot.endpoints.iter().map(endpoint).collect();
        let head = ["TENANT", "ENDPOINT", "NAME", "STATE", "DUE", "IN FLIGHT", "LATER", "OLDEST", "FAILING"];
        push(&mut lines, &table(head, &endpoints));
    }
    for process in &snapshot.processes {
        let rows: Vec<_> =
            process.figures.iter().map(|(name, value)| [(*name).to_owned(), format!("{value:.0}")]).collect();
        push(&mut lines, &table([process.url.as_str(), ""], &rows));
    }
    lines
}

fn push(lines: &mut Vec<String>, table: &str) {
    lines.extend(table.lines().map(str::to_owned));
    lines.push(String::new());
}

fn worker(worker: &Worker) -> [String; 5] {
    let silent = worker.silent_seconds > SILENT_SECONDS;
    let silent =
        if silent { format!("silent for {}", duration(worker.silent_seconds)) } else { String::new() };
    let up = duration(worker.up_seconds as f64);
    [printable(&worker.name), worker.lanes.to_string(), up, worker.version.clone(), silent]
}

fn endpoint(endpoint: &Endpoint) -> [String; 9] {
    let more = if endpoint.is_cut { "+" } else { "" };
    [
        endpoint.tenant_id.clone(),
        endpoint.endpoint_id.clone(),
        printable(&endpoint.name),
        endpoint.state.to_owned(),
        format!("{}{more}", endpoint.due),
        endpoint.in_flight.to_string(),
        endpoint.scheduled.to_string(),
        duration(endpoint.oldest_seconds),
        endpoint.failing_seconds.map_or_else(|| "-".to_owned(), duration),
    ]
}

/// In one or two units, so that columns stay narrow; `-` for nothing.
fn duration(seconds: f64) -> String {
    if seconds < 0.05 {
        return "-".to_owned();
    }
    if seconds < 10.0 {
        return format!("{seconds:.1}s");
    }
    let text = humantime::format_duration(Duration::from_secs(seconds as u64)).to_string();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_stay_short() {
        let shown = [0.0, 1.26, 59.9, 61.0, 90_061.0].map(duration);
        assert_eq!(shown, ["-", "1.3s", "59s", "1m 1s", "1day 1h"]);
    }
}
