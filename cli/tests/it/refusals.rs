use std::net::TcpListener;
use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::house::House;
use crate::process::{run, text, trunkline};

fn assert_refused(output: &Output, code: i32, says: &str) {
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(stderr.contains(says), "{stderr}");
}

fn dev(folder: &Path, more: &[&str]) -> Output {
    trunkline(&["dev", "--data-dir", folder.to_str().unwrap()]).args(more).output().unwrap()
}

#[test]
fn a_taken_port_names_its_option_and_nothing_is_started() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    for option in ["--api-port", "--receiver-port", "--admin-port"] {
        let mut ports = vec![option, &port];
        for other in ["--api-port", "--receiver-port", "--admin-port"] {
            if other != option {
                ports.extend([other, "0"]);
            }
        }
        assert_refused(&dev(&data, &ports), 1, option);
    }
    assert!(!data.join("postgres").exists());
}

#[test]
fn one_port_for_two_doors_is_wrong_usage() {
    let folder = tempfile::tempdir().unwrap();
    let output = dev(folder.path(), &["--api-port", "17301", "--admin-port", "17301"]);
    assert_refused(&output, 2, "--api-port and --admin-port are both 17301");
}

#[test]
fn a_folder_in_use_is_refused_and_its_user_is_not_disturbed() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let house = House::start(&data, &["--ephemeral"]);
    let output = dev(&data, &["--api-port", "0", "--receiver-port", "0", "--admin-port", "0"]);
    assert_refused(&output, 2, "another `trunkline dev` uses");
    assert!(data.join("dev.json").exists());
    house.stop_by("TERM");
}

#[test]
fn a_folder_that_everyone_shares_is_refused() {
    let output =
        dev(&std::env::temp_dir(), &["--api-port", "0", "--receiver-port", "0", "--admin-port", "0"]);
    assert_refused(&output, 2, "everyone may write into");
}

#[test]
fn wrong_settings_exit_with_2_and_name_the_setting() {
    for command in ["migrate", "worker", "api", "receiver"] {
        let unknown = trunkline(&[command]).env("TRUNKLINE__DATABSE__URL", "x").output().unwrap();
        assert_refused(&unknown, 2, "TRUNKLINE__DATABSE__URL");
        let missing = run_in_empty_folder(&[command]);
        assert_refused(&missing, 2, "database.url");
    }
    let url = ("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none");
    assert_refused(&trunkline(&["worker"]).env(url.0, url.1).output().unwrap(), 2, "secrets.keys");
}

fn run_in_empty_folder(arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    trunkline(arguments).current_dir(folder.path()).output().unwrap()
}

#[test]
fn a_database_that_is_away_is_69_and_an_error_can_be_json() {
    let output = trunkline(&["tenant", "list", "--json"])
        .env("DATABASE_URL", "postgres://nobody:secret@127.0.0.1:1/none")
        .output()
        .unwrap();
    assert_refused(&output, 69, "not available");
    let error: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(error["exit_code"], 69);
    assert!(!text(&output.stderr).contains("secret"));

    let url = "postgres://nobody:secret@127.0.0.1:1/none";
    let waited = trunkline(&["migrate", "--wait", "100ms"]).env("DATABASE_URL", url).output().unwrap();
    assert_refused(&waited, 69, "after 100ms");
}

#[test]
fn a_door_that_finds_no_database_is_69() {
    for door in ["api", "worker", "receiver"] {
        let output = trunkline(&[door])
            .env("DATABASE_URL", "postgres://nobody:secret@127.0.0.1:1/none")
            .env("TRUNKLINE__SECRETS__KEYS", "k1:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=")
            .output()
            .unwrap();
        assert_refused(&output, 69, "not available");
    }
}

#[test]
fn a_tenant_without_a_key_is_told_where_keys_come_from() {
    assert_refused(&run_in_empty_folder(&["events", "list"]), 2, "TRUNKLINE_API_KEY");
    assert_refused(&run_in_empty_folder(&["send", "-"]), 2, "--api-key");
}

#[test]
fn every_shell_gets_its_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run(&["completions", shell]);
        assert!(output.status.success());
        assert!(text(&output.stdout).contains("trunkline"), "{shell}");
    }
    assert_eq!(run(&["completions", "tcsh"]).status.code(), Some(2));
}

#[test]
fn help_tells_the_exit_codes() {
    let help = text(&run(&["--help"]).stdout);
    for code in ["  0 ", "  1 ", "  2 ", "  3 ", "  4 ", "  69 "] {
        assert!(help.contains(code), "{help}");
    }
}
