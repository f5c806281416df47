//! Publishes a line each, several at a time, in memory that does not grow with the file.

use std::io::{BufRead, Read as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use serde_json::json;

use super::PAYLOAD_BYTES_MAX;
use super::publisher::{Accepted, Publisher};
use crate::failure::{Failure, message};
use crate::output::Output;

const TICK: Duration = Duration::from_millis(200);

struct Line {
    number: u64,
    payload: Vec<u8>,
}

struct Outcome {
    line: u64,
    result: anyhow::Result<Accepted>,
}

/// Publishes every line that is not blank, and says which were refused.
///
/// # Errors
/// A line was refused or could not be read; or the api refuses the key or is away, which ends it at once.
pub(super) fn publish_lines(
    input: Box<dyn BufRead + Send>,
    publisher: &Publisher,
    key_prefix: &str,
    concurrency: usize,
    output: Output,
) -> anyhow::Result<()> {
    let stop = &AtomicBool::new(false);
    let (lines, waiting) = sync_channel(concurrency);
    let (outcomes, results) = sync_channel(concurrency);
    let waiting = &Mutex::new(waiting);
    thread::scope(|scope| {
        let read = scope.spawn(move || read_lines(input, &lines, stop));
        for _ in 0..concurrency {
            let outcomes = outcomes.clone();
            scope.spawn(move || {
                while let Some(line) = next(waiting).filter(|_| !stop.load(Ordering::Relaxed)) {
                    let key = format!("{key_prefix}-{}", line.number);
                    let result = publisher.publish(&line.payload, &key);
                    if outcomes.send(Outcome { line: line.number, result }).is_err() {
                        break;
                    }
                }
            });
        }
        drop(outcomes);
        let told = tell(&results, stop, output);
        drop(results);
        // Readers of a full channel are let go: nobody takes lines any more.
        while next(waiting).is_some() {}
        let read = read.join().unwrap_or_else(|_| Err(anyhow!("reading the input panicked")));
        told.and(read)
    })
}

fn next(waiting: &Mutex<Receiver<Line>>) -> Option<Line> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

fn read_lines(
    mut input: Box<dyn BufRead + Send>,
    lines: &SyncSender<Line>,
    stop: &AtomicBool,
) -> anyhow::Result<()> {
    for number in 1.. {
        let mut payload = Vec::new();
        let read = (&mut input).take(PAYLOAD_BYTES_MAX).read_until(b'\n', &mut payload);
        let read = read.with_context(|| format!("line {number} cannot be read"))?;
        if read == 0 || stop.load(Ordering::Relaxed) {
            break;
        }
        if read as u64 == PAYLOAD_BYTES_MAX && payload.last() != Some(&b'\n') {
            bail!("line {number} is longer than any payload may be; nothing from there on was sent");
        }
        while payload.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
            payload.pop();
        }
        if payload.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        if lines.send(Line { number, payload }).is_err() {
            break;
        }
    }
    Ok(())
}

/// Shows each outcome as it comes, and a summary at the end.
fn tell(results: &Receiver<Outcome>, stop: &AtomicBool, output: Output) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut ticked = started;
    let (mut accepted, mut refused) = (0_u64, 0_u64);
    let mut fatal = None;
    for Outcome { line, result } in results {
        match result {
            Ok(event) => {
                accepted += 1;
                let value = json!({"line": line, "event_id": event.event_id, "status": event.status});
                let shown = output.result(&value, || event.event_id);
                if shown.is_err() {
                    stop.store(true, Ordering::Relaxed);
                    shown?;
                }
            }
            Err(error) => {
                refused += 1;
                output.ticker("");
                output.progress(&format!("line {line}: {}", message(&error)));
                if output.is_json() {
                    output.line(&json!({"line": line, "error": message(&error)}).to_string())?;
                }
                if matches!(error.downcast_ref(), Some(Failure::Refused(_) | Failure::Unavailable(_))) {
                    stop.store(true, Ordering::Relaxed);
                    fatal.get_or_insert(error);
                }
            }
        }
        if ticked.elapsed() >= TICK {
            ticked = Instant::now();
            output.ticker(&summary(accepted, refused, started.elapsed()));
        }
    }
    output.ticker("");
    output.progress(&summary(accepted, refused, started.elapsed()));
    if output.is_json() {
        output.line(&json!({"accepted": accepted, "refused": refused}).to_string())?;
    }
    match fatal {
        Some(error) => Err(error.context("stopped; the lines after those shown were not sent")),
        None if refused > 0 => bail!("{refused} of {} lines were refused", accepted + refused),
        None => Ok(()),
    }
}

fn summary(accepted: u64, refused: u64, elapsed: Duration) -> String {
    let per_second = accepted as f64 / elapsed.as_secs_f64().max(0.001);
    format!("accepted {accepted}, refused {refused} in {:.1} s ({per_second:.0}/s)", elapsed.as_secs_f64())
}
