use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use trunkline_testkit::{Client, TestDatabase};

/// 32 bytes that are no one's key.
const SECRETS_KEY: &str = "k1:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

fn program(database: &TestDatabase) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline-receiver"));
    command
        .env_clear()
        .env("TRUNKLINE__DATABASE__URL", database.url())
        .env("TRUNKLINE__RECEIVER__BIND", "127.0.0.1:0")
        .env("TRUNKLINE__ADMIN__BIND", "127.0.0.1:0")
        .env("TRUNKLINE__LOG__FORMAT", "json")
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

#[tokio::test]
async fn sigterm_ends_the_program_with_success() {
    let database = TestDatabase::new().await;
    let mut running = program(&database).env("TRUNKLINE__SECRETS__KEYS", SECRETS_KEY).spawn().unwrap();
    let port = port_of(&mut running).await;
    assert_eq!(Client::local(port).get("/health").await.json()["status"], "healthy");

    let id = running.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
    assert_eq!(running.wait().await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn wrong_settings_are_exit_code_2_a_wrong_schema_1_and_no_database_69() {
    let bare = TestDatabase::unmigrated().await;
    let without_keys = program(&bare).output().await.unwrap();
    assert_eq!(without_keys.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&without_keys.stderr).contains("secrets.keys"));

    let unmigrated = program(&bare).env("TRUNKLINE__SECRETS__KEYS", SECRETS_KEY).output().await.unwrap();
    assert_eq!(unmigrated.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&unmigrated.stderr).contains("trunkline migrate"));

    let unknown = bare.url().replace("/bare_", "/unknown_");
    let without = program(&bare)
        .env("TRUNKLINE__SECRETS__KEYS", SECRETS_KEY)
        .env("TRUNKLINE__DATABASE__URL", unknown)
        .output()
        .await
        .unwrap();
    assert_eq!(without.status.code(), Some(69));
    assert!(String::from_utf8_lossy(&without.stderr).contains("does not exist"));
}

/// The port from the line that tells of the start. Reading goes on behind it, so that the program never waits for a
/// reader of its log.
async fn port_of(running: &mut Child) -> u16 {
    let mut lines = BufReader::new(running.stderr.take().unwrap()).lines();
    let port = loop {
        let line = lines.next_line().await.unwrap().expect("the program ended before it had started");
        let line: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        if line["message"] == "receiver started" {
            break line["port"].as_u64().unwrap();
        }
    };
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    u16::try_from(port).unwrap()
}
