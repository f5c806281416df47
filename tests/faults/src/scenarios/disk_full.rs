//! The disk is full, for data and for WAL. What cannot be stored is not acknowledged; when there is room again, the
//! service goes on, though PostgreSQL itself went down.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::traffic::Traffic;
use crate::house::{Door, House};
use crate::small_disk::SmallDisk;
use crate::trial::Trial;

const FULL_FOR: Duration = Duration::from_secs(6);

/// R3, for data: PostgreSQL has not gone anywhere. For WAL: from its return.
const SERVING_AGAIN: Duration = Duration::from_secs(5);

pub(super) async fn data(trial: &mut Trial) -> anyhow::Result<()> {
    let mut house = House::unmigrated(&trial.folder, &trial.programs, &[]).await?;
    let disk = SmallDisk::mount(&trial.folder.join("small"), 256, house.server.data())?;
    let folder = disk.folder().display();
    house.database.execute(&format!("CREATE TABLESPACE small LOCATION '{folder}'")).await?;
    // Everything that is made from now on lies there, partitions included.
    house.database.execute("ALTER DATABASE trunkline SET default_tablespace = small").await?;
    house.migrate().await?;
    let traffic = furnish(trial, &mut house).await?;
    trial.wait_about(Duration::from_secs(2)).await;

    let in_flight = house.freeze_and_count().await?;
    disk.fill()?;
    house.thaw()?;
    tokio::time::sleep(FULL_FOR).await;
    disk.empty()?;
    ensure!(log_tells(&house, "No space left on device")?, "the disk was never full for PostgreSQL");
    finish(trial, &mut house, traffic, in_flight).await
}

pub(super) async fn wal(trial: &mut Trial) -> anyhow::Result<()> {
    // Small enough that the next segment is needed soon.
    let settings = [("min_wal_size", "32MB"), ("max_wal_size", "48MB")];
    let mut house = House::open(&trial.folder, &trial.programs, &settings).await?;
    house.server.stop().await?;
    let wal = house.server.data().join("pg_wal");
    let disk = SmallDisk::mount(&trial.folder.join("small"), 256, house.server.data())?;
    move_to(&wal, &disk.folder().join("pg_wal"))?;
    house.server.come_back().await?;
    let traffic = furnish(trial, &mut house).await?;
    trial.wait_about(Duration::from_secs(2)).await;

    let in_flight = house.freeze_and_count().await?;
    disk.fill()?;
    house.thaw()?;
    // Uses up the segments that are there.
    let since = Instant::now();
    while !log_tells(&house, "No space left on device")? {
        ensure!(since.elapsed() < Duration::from_secs(60), "the disk was never full for WAL");
        let _ = house.database.execute("SELECT pg_switch_wal()").await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::time::sleep(FULL_FOR).await;
    let went_down = house.database.connect().await.is_err();
    disk.empty()?;
    if went_down {
        house.server.quit_immediately().await.or(Ok(()) as anyhow::Result<()>)?;
        house.server.until_down().await?;
        house.server.come_back().await?;
    }
    trial.report.note(format!("PostgreSQL went down: {went_down}"));
    finish(trial, &mut house, traffic, in_flight).await
}

async fn furnish(trial: &Trial, house: &mut House) -> anyhow::Result<Traffic> {
    for _ in 0..2 {
        house.start(Door::Api, |_| {}).await?;
        house.start(Door::Worker, |_| {}).await?;
    }
    Traffic::to_sink(trial, house, trial.load()).await
}

async fn finish(
    trial: &mut Trial,
    house: &mut House,
    traffic: Traffic,
    in_flight: u64,
) -> anyhow::Result<()> {
    let served = traffic.until_accepted_again().await?;
    trial.report.within("accepting again", served, SERVING_AGAIN);
    traffic.until_enough().await?;
    let sent_again = in_flight + house.unrecorded_max(FULL_FOR);
    let figures = traffic.settle(trial, house, sent_again).await?;
    trial.report.exactly("answers other than 201, 429, 503", figures.other_than(&[429, 503]), 0);
    trial.report.exactly("429 and 503 without Retry-After", figures.without_retry_after, 0);
    trial.report.at_least("answers 503", figures.statuses.get(&503).copied().unwrap_or(0), 1);
    house.close().await
}

fn log_tells(house: &House, text: &str) -> anyhow::Result<bool> {
    let log = std::fs::read(house.server.folder().join("postgres.log"))?;
    Ok(String::from_utf8_lossy(&log).contains(text))
}

/// Moves a folder, owners and all, and leaves a link.
fn move_to(from: &Path, to: &Path) -> anyhow::Result<()> {
    let copied = Command::new("cp").arg("--archive").arg(from).arg(to).status().context("running cp")?;
    ensure!(copied.success(), "copying {} failed", from.display());
    std::fs::remove_dir_all(from)?;
    symlink(to, from).context("linking")
}
