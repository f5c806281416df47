//! A second PostgreSQL that follows the first by streaming replication, and takes over from it.

use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::ports::free_port;
use super::questions::Database;
use super::server::Server;

/// By which the first server knows it in `synchronous_standby_names`.
const NAME: &str = "standby";

/// How long it may take to follow, and to be promoted.
const PATIENCE: Duration = Duration::from_secs(60);

/// Copies a running server, starts the copy as its standby, and lets the first acknowledge no commit that the copy has not on
/// its disk too.
pub(crate) async fn follow(primary: &Server, folder: &Path) -> anyhow::Result<Server> {
    std::fs::create_dir_all(folder)?;
    let password = primary.folder().join("password");
    std::fs::copy(&password, folder.join("password")).context("copying the password")?;
    std::fs::write(folder.join("port"), free_port()?.to_string())?;
    copy_data(primary, folder)?;
    let standby = Server::open(folder, primary.settings()).await?;
    let first = Database::new(primary.url());
    first.execute(&format!("ALTER SYSTEM SET synchronous_standby_names = '{NAME}'")).await?;
    first.execute("SELECT pg_reload_conf()").await?;
    let synchronous = format!(
        "SELECT count(*) FROM pg_stat_replication WHERE application_name = '{NAME}' AND sync_state = 'sync'"
    );
    until_is(&first, &synchronous, 1).await?;
    Ok(standby)
}

/// Makes it the first; returns how long that took.
pub(crate) async fn promote(standby: &Server) -> anyhow::Result<Duration> {
    let started = Instant::now();
    let database = Database::new(standby.url());
    database.execute("SELECT pg_promote(wait => false)").await?;
    until_is(&database, "SELECT pg_is_in_recovery()::integer", 0).await?;
    Ok(started.elapsed())
}

/// As the server's user, who must own what it reads.
fn copy_data(primary: &Server, folder: &Path) -> anyhow::Result<()> {
    let owner = std::fs::metadata(primary.data())?;
    std::os::unix::fs::chown(folder, Some(owner.uid()), Some(owner.gid()))?;
    let mut copy = Command::new(primary.program("pg_basebackup")?);
    copy.arg("--dbname").arg(format!("{}?application_name={NAME}", primary.url()));
    copy.arg("--pgdata").arg(folder.join("postgres"));
    copy.args(["--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast"]);
    copy.current_dir(folder).stdin(Stdio::null()).uid(owner.uid()).gid(owner.gid());
    let output = copy.output().context("running pg_basebackup")?;
    ensure!(output.status.success(), "pg_basebackup: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Waits until the statement's number is that.
async fn until_is(database: &Database, sql: &str, expected: u64) -> anyhow::Result<()> {
    let started = Instant::now();
    while database.number(sql).await? != expected {
        ensure!(started.elapsed() < PATIENCE, "not {expected} after {PATIENCE:?}: {sql}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
