//! Who switched what from the command line: each command that changes something leaves its row.

use std::collections::HashMap;

use crate::installation::Installation;
use crate::process::{json, run, text};

const KEYS: &str = "TRUNKLINE__SECRETS__KEYS";
const OLD: &str = "old:AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";
const NEW: &str = "new:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

/// Commands that leave no row of their own, by their first words.
const OTHERS: &[(&str, &str)] = &[
    ("api worker receiver dev", "run doors"),
    (
        "send events erasure event-type stats dead-letters replay endpoints operational-endpoint api-keys own-tenant call listen",
        "go through the api, which writes its own rows",
    ),
    ("audit top doctor probe completions help", "only look"),
];

/// The same, by two words.
const LOOKING: [&str; 5] = ["tenant list", "tenant show", "key list", "secrets status", "restore show"];

/// Each command that changes something, with more words; `{key}` is the key made before. Then its row: action, tenant, target.
const CHANGES: &[(&str, &str, &str)] = &[
    ("migrate", "", "schema.migrate all {version}"),
    ("tenant create", "acme --target-url https://example.com/hooks", "tenant.create acme"),
    ("tenant suspend", "acme", "tenant.suspend acme"),
    ("tenant resume", "acme", "tenant.resume acme"),
    ("tenant update", "acme --retention-days 7", "tenant.change acme"),
    ("endpoint add", "acme second https://example.com/second", "endpoint.create acme {endpoint}"),
    ("key create", "acme --name reports", "api_key.create acme {key}"),
    ("key revoke", "acme {key}", "api_key.revoke acme {key}"),
    ("secrets reencrypt", "--batch 1", "secrets.reencrypt all new"),
    ("retention", "--apply", "retention.apply all"),
    ("restore hold", "", "restore.hold all"),
    ("restore release", "", "restore.release all"),
    ("tenant delete", "acme --yes", "tenant.delete acme"),
];

/// The commands below `words`, as `--help` lists them.
fn below(words: &[&str]) -> Vec<String> {
    let help = run(&[words, &["--help"]].concat());
    assert!(help.status.success(), "{words:?}: {}", text(&help.stderr));
    let help = text(&help.stdout);
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.take_while(|line| !line.is_empty());
    listed.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
fn every_command_that_changes_something_is_written_down() {
    let mut installation = Installation::open(&[], &[(KEYS, OLD)]);
    let version = installation.sql("SELECT max(version)::text FROM trunkline._sqlx_migrations");
    let mut known = HashMap::from([("version", version)]);
    let fill = |template: &str, known: &HashMap<&str, String>| {
        let put = |text: String, (name, value): (&&str, &String)| text.replace(&format!("{{{name}}}"), value);
        known.iter().fold(template.to_owned(), put)
    };
    let mut expected = Vec::new();
    for (command, more, row) in CHANGES {
        if *command == "secrets reencrypt" {
            installation.set(KEYS, &format!("{NEW},{OLD}"));
        }
        let words = format!("{command} {} --json", fill(more, &known));
        let answer = json(&installation.run(&words.split_whitespace().collect::<Vec<_>>()));
        for (name, field) in [("endpoint", "endpoint_id"), ("key", "key_id")] {
            if let Some(id) = answer[field].as_str().filter(|_| row.contains(&format!("{{{name}}}"))) {
                known.insert(name, id.to_owned());
            }
        }
        expected.push(fill(row, &known));
    }
    // What has nothing to do leaves no row. `migrate` had: it made this database.
    for words in [&["migrate"][..], &["secrets", "reencrypt"]] {
        json(&installation.run(&[words, &["--json"]].concat()));
    }
    let written = "SELECT string_agg(concat_ws(' ', action, coalesce(tenant_id, 'all'), target), '|' ORDER BY audit_id) FROM trunkline.audit";
    assert_eq!(installation.sql(written).split('|').collect::<Vec<_>>(), expected);
    let by_others = "SELECT count(*)::text FROM trunkline.audit WHERE actor <> 'login:' || session_user OR request_id IS NOT NULL";
    assert_eq!(installation.sql(by_others), "0");

    let others: Vec<&str> = OTHERS.iter().flat_map(|(words, _)| words.split(' ')).collect();
    let first: Vec<String> = below(&[]);
    assert!(first.len() > 20, "{first:?}");
    for first in first.iter().filter(|first| !others.contains(&first.as_str())) {
        let second = below(&[first]);
        let commands: Vec<String> = match second.as_slice() {
            [] => vec![first.clone()],
            second => {
                second.iter().filter(|word| *word != "help").map(|word| format!("{first} {word}")).collect()
            }
        };
        for command in commands {
            let is_known = LOOKING.contains(&command.as_str())
                || CHANGES.iter().any(|(changing, ..)| *changing == command);
            assert!(is_known, "{command} is missing from this test");
        }
    }
}

/// Those that only an owner of the tables, or who may read secrets, can run.
const OWNERS: [&str; 3] = ["migrate", "secrets reencrypt", "retention"];

#[test]
fn whoever_is_on_call_needs_no_more_than_the_operators_role() {
    let mut installation = Installation::open(&[], &[(KEYS, OLD)]);
    let granted = "trunkline_operator, trunkline_reader, pg_monitor";
    installation.execute(&format!("CREATE ROLE oncall_login LOGIN PASSWORD 'secret' IN ROLE {granted}"));
    let (_, place) = installation.database_url().rsplit_once('@').unwrap();
    let url = format!("postgres://oncall_login:secret@{place}");
    installation.set("TRUNKLINE__DATABASE__URL", &url);
    let mut key = String::new();
    for (command, more, _) in CHANGES.iter().filter(|(command, ..)| !OWNERS.contains(command)) {
        let words = format!("{command} {} --json", more.replace("{key}", &key));
        let answer = json(&installation.run(&words.split_whitespace().collect::<Vec<_>>()));
        if let Some(made) = answer["key_id"].as_str() {
            key = made.to_owned();
        }
    }
    let create = ["tenant", "create", "globex", "--target-url", "https://example.com/", "--json"];
    json(&installation.run(&create));
    for words in
        ["audit", "top --once", "tenant list", "tenant show globex", "key list globex", "restore show"]
    {
        let output = installation.run(&words.split(' ').collect::<Vec<_>>());
        assert!(output.status.success(), "{words}: {}", text(&output.stderr));
    }
    // This server loses what a crash would, of which it complains.
    let doctor = text(&installation.run(&["doctor"]).stdout);
    assert!(doctor.contains("ok    sealed") && !doctor.contains("may not look"), "{doctor}");
    json(&installation.run(&["secrets", "status", "--json"]));
}
