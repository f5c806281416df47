//! Whether the doors answer, found out as a caller would: over HTTP.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::DevFile;
use crate::api_client::agent;

/// Doors answer within milliseconds of their start; on a machine that compiles meanwhile it takes seconds.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);
const CALL_TIMEOUT: Duration = Duration::from_secs(3);

/// Waits until every door answers and all are ready.
///
/// # Errors
/// One does not within 30 s; the message holds what it said last.
pub(super) async fn wait(file: &DevFile) -> anyhow::Result<()> {
    let urls = [
        format!("{}/readyz", file.admin_url),
        format!("{}/v1/openapi.json", file.api_url),
        format!("{}/health", file.receiver_url),
    ];
    let started = Instant::now();
    for url in urls {
        loop {
            let asked = url.clone();
            match tokio::task::spawn_blocking(move || ask(&asked)).await.context("asking panicked")? {
                Ok(()) => break,
                Err(reason) if started.elapsed() > PATIENCE => bail!("{url} is not ready: {reason}"),
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }
    Ok(())
}

fn ask(url: &str) -> Result<(), String> {
    let mut answer = agent(CALL_TIMEOUT).get(url).call().map_err(|error| error.to_string())?;
    if answer.status().as_u16() == 200 {
        return Ok(());
    }
    let said = answer.body_mut().read_to_string().unwrap_or_default();
    Err(format!("{} {said}", answer.status().as_u16()))
}
