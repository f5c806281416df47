//! All doors at once: the first that ends takes the others with it.

use std::time::Duration;

use anyhow::Context as _;
use tokio::task::JoinSet;
use trunkline_boot::Shutdown;

use crate::doors::OpenDoor;

/// From the wish to stop until doors that are not done are cut off. Longer than the worker's drain under `dev`.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// Runs the doors until the shutdown; `announce` runs beside them, once, and its failure stops everything too.
///
/// # Errors
/// The first failure of a door or of `announce`.
pub(super) async fn run(
    doors: [OpenDoor; 3],
    announce: impl Future<Output = anyhow::Result<()>>,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    let mut running = JoinSet::new();
    for door in doors {
        let (name, run) = (door.name, door.run_until_stopped);
        running.spawn(async move { run.await.with_context(|| format!("the {name} failed")) });
    }
    let announced = tokio::select! {
        announced = announce => announced,
        () = shutdown.requested() => Ok(()),
        ended = running.join_next() => outcome(ended),
    };
    let ended = match announced {
        Ok(()) if !shutdown.is_requested() => tokio::select! {
            () = shutdown.requested() => Ok(()),
            ended = running.join_next() => outcome(ended),
        },
        other => other,
    };
    shutdown.trigger();
    let drained = tokio::time::timeout(STOP_PATIENCE, async {
        let mut result = Ok(());
        while let Some(ended) = running.join_next().await {
            result = result.and(outcome(Some(ended)));
        }
        result
    });
    // Cut off: what was under way is found again by the next start.
    ended.and(drained.await.unwrap_or(Ok(())))
}

fn outcome(ended: Option<Result<anyhow::Result<()>, tokio::task::JoinError>>) -> anyhow::Result<()> {
    // The panic's own message may hold a secret: the log has its place, and nothing of what it says.
    let panicked = || anyhow::anyhow!("a door panicked; its place is in the log");
    ended.map_or(Ok(()), |ended| ended.map_err(|_| panicked())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_door_that_panics_is_told_without_what_its_panic_says() {
        let mut running = JoinSet::new();
        running.spawn(async { panic!("canary") });
        let error = outcome(running.join_next().await).unwrap_err();
        let said = format!("{error:#} {error:?}");
        assert!(said.contains("a door panicked") && !said.contains("canary"), "{said}");
    }
}
