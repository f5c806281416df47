//! The private PostgreSQL: it serves, it finds its data again, and it never outlives its owner.

#![cfg(feature = "private-postgres")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should fail where it stands")]
#![allow(clippy::disallowed_methods, reason = "a helper process is told what to do through its environment")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use trunkline_boot::private_postgres::{Kind, Options, PrivatePostgres, PrivatePostgresError};

fn persistent(folder: &Path) -> Options {
    Options { data_dir: Some(folder.to_owned()), kind: Kind::Persistent, ..Options::default() }
}

/// A folder that the server's user can reach.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn pid(server: &PrivatePostgres) -> u32 {
    let text = fs::read_to_string(server.folder().join("postgres/postmaster.pid")).unwrap();
    text.lines().next().unwrap().parse().unwrap()
}

fn is_alive(pid: u32) -> bool {
    // A zombie has ended; only its parent has not looked yet.
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    !status.is_empty() && !status.contains("State:\tZ")
}

/// Waits for something that is about to happen, with a bound far beyond what it takes.
fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(30), "in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test]
async fn an_ephemeral_server_runs_and_leaves_nothing_behind() {
    let server =
        PrivatePostgres::start(Options { kind: Kind::Ephemeral, ..Options::default() }).await.unwrap();
    let (pid, data) = (pid(&server), server.folder().to_owned());
    assert!(is_alive(pid));
    assert!(server.url().starts_with("postgres://trunkline:") && server.url().ends_with("/trunkline"));
    server.stop();
    assert!(!is_alive(pid));
    assert!(!data.exists(), "{} is left", data.display());
}

#[tokio::test]
async fn a_second_start_finds_the_same_data_at_the_same_address() {
    let folder = folder();
    let first = PrivatePostgres::start(persistent(folder.path())).await.unwrap();
    let (url, data) = (first.url().to_owned(), first.folder().to_owned());
    first.stop();
    let second = PrivatePostgres::start(persistent(folder.path())).await.unwrap();
    assert_eq!((second.url(), second.folder()), (url.as_str(), data.as_path()));
    second.stop();
}

#[tokio::test]
async fn two_side_by_side_do_not_meet_and_one_folder_serves_one() {
    let (one, two) = (folder(), folder());
    let first = PrivatePostgres::start(persistent(one.path())).await.unwrap();
    let second = PrivatePostgres::start(persistent(two.path())).await.unwrap();
    assert_ne!(first.url(), second.url());
    let third = PrivatePostgres::start(persistent(one.path())).await.unwrap_err();
    assert!(matches!(third, PrivatePostgresError::InUse { .. }), "{third}");
    first.stop();
    second.stop();
}

#[tokio::test]
async fn a_server_that_crashed_starts_again() {
    let folder = folder();
    let first = PrivatePostgres::start(persistent(folder.path())).await.unwrap();
    let pid = pid(&first);
    assert!(Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success());
    wait_until("the server is gone", || !is_alive(pid));
    first.stop();
    PrivatePostgres::start(persistent(folder.path())).await.unwrap().stop();
}

#[tokio::test]
async fn a_folder_of_others_is_refused_and_left_as_it_is() {
    let folder = folder();
    fs::write(folder.path().join("passwd"), "").unwrap();
    let before = fs::metadata(folder.path()).unwrap().permissions();
    let refused = PrivatePostgres::start(persistent(folder.path())).await.unwrap_err();
    assert!(matches!(refused, PrivatePostgresError::NotOurs(_)), "{refused}");
    assert_eq!(fs::metadata(folder.path()).unwrap().permissions(), before);
}

#[tokio::test]
async fn data_of_another_major_version_are_refused_with_advice() {
    let folder = folder();
    let server = PrivatePostgres::start(persistent(folder.path())).await.unwrap();
    let version = server.folder().join("postgres/PG_VERSION");
    server.stop();
    fs::write(version, "14\n").unwrap();
    let refused = PrivatePostgres::start(persistent(folder.path())).await.unwrap_err();
    assert!(refused.to_string().contains("PostgreSQL 14"), "{refused}");
}

#[tokio::test]
async fn without_programs_one_message_says_what_was_tried_and_the_ways_out() {
    let nowhere = folder();
    let options = Options { programs: Some(nowhere.path().to_owned()), ..persistent(nowhere.path()) };
    match PrivatePostgres::start(options).await {
        Err(error @ PrivatePostgresError::NoPrograms { .. }) => {
            let message = error.to_string();
            for part in [nowhere.path().to_str().unwrap(), "download", "--database-url", "apt-get install"] {
                assert!(message.contains(part), "{part:?} is missing in {message}");
            }
        }
        // Where the Internet can be reached, the download works.
        Ok(server) => server.stop(),
        Err(other) => panic!("{other}"),
    }
}

/// Set for the helper process that is to be killed: where it writes what it started.
const HELPER: &str = "TRUNKLINE_TEST_HELPER_FILE";

/// Not a test: what the helper process runs.
#[tokio::test]
async fn helper_that_is_killed() {
    let Ok(file) = std::env::var(HELPER) else { return };
    let server =
        PrivatePostgres::start(Options { kind: Kind::Ephemeral, ..Options::default() }).await.unwrap();
    let facts = format!("{}\n{}", pid(&server), server.folder().display());
    fs::write(format!("{file}.new"), facts).unwrap();
    fs::rename(format!("{file}.new"), file).unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_server_does_not_outlive_an_owner_that_is_killed() {
    let folder = folder();
    let file = folder.path().join("facts");
    let mut helper = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "helper_that_is_killed", "--nocapture"])
        .env(HELPER, &file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("the helper's server runs", || file.exists());
    let facts = fs::read_to_string(&file).unwrap();
    let (pid, data) = facts.split_once('\n').unwrap();
    let (pid, data) = (pid.parse().unwrap(), PathBuf::from(data));
    assert!(is_alive(pid));
    helper.kill().unwrap();
    helper.wait().unwrap();
    wait_until("the server is gone", || !is_alive(pid));
    wait_until("its data are gone", || !data.exists());
}
