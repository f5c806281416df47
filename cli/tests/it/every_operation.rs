//! Every operation of the OpenAPI document has a command, which does what it says: nothing is left to `trunkline call`.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::TcpListener;

use serde_json::{Value, json};

use crate::house::House;
use crate::process::{eventually, feed, json as printed, patiently, text};

/// How a command gets there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// It calls the operation.
    Rest,
    /// Operators' commands do the same straight on the database.
    Database,
    /// It calls another operation, which is the same.
    Twin,
}
use Way::{Database, Rest, Twin};

/// Each operation, and its command.
#[rustfmt::skip]
const COMMANDS: &[(&str, &str, Way)] = &[
    ("publishEvent",              "send",                        Rest),
    ("publishBatch",              "send --batch",                Rest),
    ("listEvents",                "events list",                 Rest),
    ("showEvent",                 "events show",                 Rest),
    ("listAttempts",              "events show",                 Rest),
    ("exportEvents",              "events export",               Rest),
    ("retryEvent",                "events retry",                Rest),
    ("changeEvent",               "events retry",                Twin),
    ("retryDelivery",             "events retry --endpoint",     Rest),
    ("cancelEvent",               "events cancel",               Rest),
    ("erasePayload",              "events erase",                Rest),
    ("explainEvent",              "events explain",              Rest),
    ("matchEvent",                "events match",                Rest),
    ("erasePayloads",             "erasure start",               Rest),
    ("showErasure",               "erasure show",                Rest),
    ("showStats",                 "stats",                       Rest),
    ("listEventTypes",            "event-type list",             Rest),
    ("describeEventType",         "event-type describe",         Rest),
    ("showEventType",             "event-type show",             Rest),
    ("deleteEventType",           "event-type delete",           Rest),
    ("listApiKeys",               "api-keys list",               Rest),
    ("createApiKey",              "api-keys create",             Rest),
    ("revokeApiKey",              "api-keys revoke",             Rest),
    ("listDeadLetters",           "dead-letters list",           Rest),
    ("requeueDeadLetters",        "dead-letters requeue",        Rest),
    ("purgeDeadLetters",          "dead-letters purge",          Rest),
    ("createEndpoint",            "endpoints create",            Rest),
    ("listEndpoints",             "endpoints list",              Rest),
    ("showEndpoint",              "endpoints show",              Rest),
    ("changeEndpoint",            "endpoints update",            Rest),
    ("deleteEndpoint",            "endpoints delete",            Rest),
    ("enableEndpoint",            "endpoints enable",            Rest),
    ("disableEndpoint",           "endpoints disable",           Rest),
    ("pauseEndpoint",             "endpoints pause",             Rest),
    ("resumeEndpoint",            "endpoints resume",            Rest),
    ("rotateEndpointSecret",      "endpoints rotate-secret",     Rest),
    ("testEndpoint",              "endpoints test",              Rest),
    ("showEndpointStats",         "endpoints stats",             Rest),
    ("setOperationalEndpoint",    "operational-endpoint set",    Rest),
    ("showOperationalEndpoint",   "operational-endpoint show",   Rest),
    ("deleteOperationalEndpoint", "operational-endpoint delete", Rest),
    ("startReplay",               "replay start",                Rest),
    ("listReplays",               "replay list",                 Rest),
    ("showReplay",                "replay show",                 Rest),
    ("cancelReplay",              "replay cancel",               Rest),
    ("pauseReplay",               "replay pause",                Rest),
    ("resumeReplay",              "replay resume",               Rest),
    ("showOwnTenant",             "own-tenant show",             Rest),
    ("changeOwnTenant",           "own-tenant update",           Rest),
    ("createTenant",              "tenant create",               Database),
    ("listTenants",               "tenant list",                 Database),
    ("showTenant",                "tenant show",                 Database),
    ("changeTenant",              "tenant update",               Database),
    ("deleteTenant",              "tenant delete",               Database),
    ("suspendTenant",             "tenant suspend",              Database),
    ("resumeTenant",              "tenant resume",               Database),
    ("listAudit",                 "audit",                       Database),
];

/// Runs commands by the operations they are for, and knows which it ran.
struct Driver {
    house: House,
    driven: RefCell<BTreeSet<&'static str>>,
}

impl Driver {
    /// What the operation's command printed.
    fn by(&self, operation: &'static str, arguments: &[&str]) -> Value {
        self.by_feeding(operation, arguments, "")
    }

    /// The same with something on its standard input.
    fn by_feeding(&self, operation: &'static str, arguments: &[&str], input: &str) -> Value {
        printed(&patiently(|| feed(&mut self.command(operation, arguments), input)))
    }

    fn command(&self, operation: &'static str, arguments: &[&str]) -> std::process::Command {
        let (_, words, _) = COMMANDS.iter().find(|(id, _, _)| *id == operation).expect(operation);
        self.driven.borrow_mut().insert(operation);
        let words = words.split(' ').chain(arguments.iter().copied()).chain(["--json"]);
        self.house.command(&words.collect::<Vec<_>>())
    }

    fn event(&self, event_id: &str) -> Value {
        self.by("showEvent", &[event_id])["event"].take()
    }

    fn endpoint(&self, endpoint_id: &str) -> Value {
        self.by("showEndpoint", &[endpoint_id])["endpoint"].take()
    }

    /// Waits for dead letters of a type with so many attempts.
    fn dead_letters(&self, event_type: &str, attempts: u64) -> Value {
        eventually(&format!("a dead letter of {attempts} attempts"), || {
            let letters = self.by("listDeadLetters", &["--type", event_type])["dead_letters"].take();
            (letters[0]["attempts"] == attempts).then_some(letters)
        })
    }
}

fn id<'a>(answer: &'a Value, name: &str) -> &'a str {
    answer[name].as_str().unwrap_or_else(|| panic!("{name} is missing in {answer}"))
}

#[test]
fn every_operation_has_a_command_that_does_it() {
    let folder = tempfile::tempdir().unwrap();
    let options = ["--log", "warn,trunkline_api=debug"];
    let variables = [("TRUNKLINE__LOG__FORMAT", "json")];
    let house = House::start_with(&folder.path().join("data"), &options, &variables);
    let driver = Driver { house, driven: RefCell::default() };
    let document = printed(&driver.house.run(&["call", "get", "/v1/openapi.json", "--json"]));
    let operations: Vec<(&str, String)> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| {
            item.as_object().unwrap().iter().map(move |(method, one)| (path, method, one))
        })
        .map(|(path, method, one)| (id(one, "operationId"), format!("{} {path}", method.to_uppercase())))
        .collect();
    let described: BTreeSet<&str> = operations.iter().map(|(operation, _)| *operation).collect();
    let commanded: BTreeSet<&str> = COMMANDS.iter().map(|(operation, _, _)| *operation).collect();
    let without: Vec<_> = described.difference(&commanded).collect();
    assert!(without.is_empty(), "without a command: {without:?}");
    let unknown: Vec<_> = commanded.difference(&described).collect();
    assert!(unknown.is_empty(), "of no operation: {unknown:?}");

    themselves(&driver);
    types(&driver);
    let endpoint_id = endpoints(&driver);
    dead_letters(&driver, &endpoint_id);
    events(&driver);
    replays(&driver);
    erasing(&driver);
    operators(&driver);

    let driven = driver.driven.into_inner();
    let idle: Vec<_> = COMMANDS.iter().filter(|(id, _, way)| *way != Twin && !driven.contains(id)).collect();
    assert!(idle.is_empty(), "not driven: {:?}", idle.iter().map(|(id, _, _)| id).collect::<Vec<_>>());
    // The door saw each of them, and carried it out. Nobody but the commands asked it for anything.
    let log = driver.house.stop_by("TERM");
    let answered: BTreeSet<String> = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|line| line["http.status"].as_u64().is_some_and(|status| (200..300).contains(&status)))
        .map(|line| format!("{} {}", id(&line, "http.method"), id(&line, "http.route")))
        .collect();
    for (operation, route) in operations {
        let is_rest = COMMANDS.iter().any(|(id, _, way)| *id == operation && *way == Rest);
        assert!(
            !is_rest || answered.contains(&route),
            "{operation}: {route} was not asked for: {answered:?}"
        );
    }
}

/// A tenant itself, and its keys.
fn themselves(driver: &Driver) {
    let own = || driver.by("showOwnTenant", &[])["tenant"].take();
    assert_eq!((&own()["tenant_id"], &own()["retention_days"]), (&json!("test-tenant"), &Value::Null));
    driver.by("changeOwnTenant", &["--retention-days", "30"]);
    assert_eq!(own()["retention_days"], 30);
    driver.by("changeOwnTenant", &["--default", "retention-days"]);
    assert_eq!(own()["retention_days"], Value::Null);

    let made = driver.by("createApiKey", &["--name", "nightly", "--write-only"]);
    let key = id(&made, "api_key");
    let with_key = |arguments: &[&str], input: &str| {
        feed(driver.house.command(arguments).args(["--api-key", key]), input).status.code()
    };
    assert_eq!(with_key(&["send"], r#"{"by":"key"}"#), Some(0));
    assert_eq!(with_key(&["events", "list"], ""), Some(4), "it may not look");
    let listed = |key_id: &str| {
        let keys = driver.by("listApiKeys", &[])["api_keys"].take();
        keys.as_array().unwrap().iter().find(|one| one["key_id"] == key_id).unwrap().clone()
    };
    let key_id = id(&made, "key_id");
    assert_eq!((&listed(key_id)["name"], &listed(key_id)["revoked_at"]), (&json!("nightly"), &Value::Null));
    driver.by("revokeApiKey", &[key_id]);
    assert!(listed(key_id)["revoked_at"].is_string());
    assert_eq!(with_key(&["send"], "{}"), Some(4), "it is revoked");
}

fn types(driver: &Driver) {
    let schema = r#"{"type":"object","required":["order"]}"#;
    driver.by_feeding("describeEventType", &["strict/type", "--schema", "-", "--enforced"], schema);
    let shown = driver.by("showEventType", &["strict/type"]);
    assert_eq!(shown["event_type"]["schema"]["required"][0], "order");
    let listed = || driver.by("listEventTypes", &[])["event_types"].as_array().unwrap().len();
    assert_eq!(listed(), 1);
    driver.by("deleteEventType", &["strict/type"]);
    assert_eq!(listed(), 0);
}

/// Makes an endpoint that nobody answers at, and where one attempt is all there is.
fn endpoints(driver: &Driver) -> String {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{closed}/");
    let secret = "a-secret-of-our-own-choice";
    let options = ["--event-type", "doomed", "--retry-schedule-ms", "none", "--secret-file", "-"];
    let made = driver.by_feeding("createEndpoint", &[&["second", &*url], &options[..]].concat(), secret);
    assert_eq!(
        (&made["webhook_secret"], &made["endpoint"]["retry_schedule_ms"]),
        (&json!(secret), &json!([]))
    );
    let endpoint_id = id(&made["endpoint"], "endpoint_id").to_owned();
    let endpoint = || driver.endpoint(&endpoint_id);
    let listed = driver.by("listEndpoints", &[])["endpoints"].take();
    assert_eq!(listed.as_array().unwrap().len(), 2, "{listed}");

    let filter = ["--name", "renamed", "--payload-filter", "$.order > 1000"];
    driver.by("changeEndpoint", &[&[&*endpoint_id], &filter[..]].concat());
    let changed = endpoint();
    assert_eq!((&changed["name"], &changed["payload_filter"]), (&json!("renamed"), &json!("$.order > 1000")));
    let matching = |order: u32| {
        let draft = json!({"order": order}).to_string();
        driver.by_feeding("matchEvent", &["--type", "doomed"], &draft)["matching"].take()
    };
    assert_eq!((matching(1), matching(1_001)), (json!(1), json!(2)));
    driver.by("changeEndpoint", &[&endpoint_id, "--default", "payload-filter"]);
    assert_eq!(endpoint()["payload_filter"], Value::Null);
    let both = ["endpoints", "update", &endpoint_id, "--timeout-ms", "2000", "--default", "timeout-ms"];
    assert_eq!(driver.house.run(&both).status.code(), Some(2), "a value and the default");

    let rotation = ["--overlap-seconds", "0", "--secret-file", "-"];
    let second = "another-secret-of-our-choice";
    // The line's end is not part of it.
    let rotated = driver.by_feeding(
        "rotateEndpointSecret",
        &[&[&*endpoint_id], &rotation[..]].concat(),
        &format!("{second}\n"),
    );
    assert_eq!(rotated["webhook_secret"], second);
    driver.by("pauseEndpoint", &[&endpoint_id]);
    assert_eq!(endpoint()["paused"], true);
    driver.by("resumeEndpoint", &[&endpoint_id]);
    assert_eq!(endpoint()["paused"], false);
    driver.by("disableEndpoint", &[&endpoint_id]);
    assert_eq!(endpoint()["enabled"], false);
    driver.by("enableEndpoint", &[&endpoint_id]);
    assert_eq!(endpoint()["enabled"], true);
    let tested = driver.by("testEndpoint", &[&endpoint_id]);
    eventually("the test event is attempted", || {
        (driver.event(id(&tested, "event_id"))["attempts"] == 1).then_some(())
    });
    let stats = driver.by("showEndpointStats", &[&endpoint_id, "--after", "2026-01-01T00:00:00Z"]);
    assert_eq!(stats["deliveries"]["FAILED"], 1, "{stats}");
    let none = driver.by("showEndpointStats", &[&endpoint_id, "--before", "2026-01-01T00:00:00Z"]);
    assert_eq!(none["deliveries"]["FAILED"], 0, "{none}");

    let set = driver.by("setOperationalEndpoint", &[&url]);
    assert!(id(&set, "webhook_secret").starts_with("whsec_"));
    assert_eq!(driver.by("showOperationalEndpoint", &[])["endpoint"]["url"], url);
    driver.by("deleteOperationalEndpoint", &[]);
    let gone = driver.house.run(&["operational-endpoint", "show"]);
    assert_eq!(gone.status.code(), Some(3), "{}", text(&gone.stderr));
    endpoint_id
}

fn dead_letters(driver: &Driver, endpoint_id: &str) {
    let sent = driver.by_feeding("publishEvent", &["--type", "doomed", "--ordering-key", "one"], "{}");
    let event_id = id(&sent, "event_id");
    let letters = driver.dead_letters("doomed", 1);
    assert_eq!(
        (&letters[0]["event_id"], &letters[0]["endpoint_id"]),
        (&sent["event_id"], &json!(endpoint_id))
    );
    driver.by("retryDelivery", &[endpoint_id, event_id]);
    driver.dead_letters("doomed", 2);
    driver.by("retryEvent", &[event_id]);
    driver.dead_letters("doomed", 3);
    assert_eq!(driver.by("requeueDeadLetters", &["--type", "doomed"]), json!({"requeued": 1}));
    driver.dead_letters("doomed", 4);
    let attempts = driver.by("listAttempts", &[event_id])["attempts"].take();
    let to_it = attempts.as_array().unwrap().iter().filter(|one| one["endpoint_id"] == endpoint_id);
    assert_eq!(to_it.count(), 4, "{attempts}");
    let explained = driver.by("explainEvent", &[event_id])["endpoints"].take();
    assert_eq!((&explained[0]["matches"], &explained[1]["matches"]), (&json!(true), &json!(true)));
    assert_eq!(driver.by("purgeDeadLetters", &["--type", "doomed", event_id]), json!({"purged": 1}));
    assert_eq!(driver.by("listDeadLetters", &["--type", "doomed"])["dead_letters"], json!([]));
    driver.by("deleteEndpoint", &[endpoint_id]);
    let gone = driver.house.run(&["endpoints", "show", endpoint_id]);
    assert_eq!(gone.status.code(), Some(3), "{}", text(&gone.stderr));
}

fn events(driver: &Driver) {
    let created = driver.by("showOwnTenant", &[])["tenant"]["created_at"].take();
    let created: chrono::DateTime<chrono::Utc> = created.as_str().unwrap().parse().unwrap();
    let tomorrow = (created + chrono::Duration::days(1)).to_rfc3339();
    let sent = driver.by_feeding("publishEvent", &["--deliver-at", &tomorrow], r#"{"type":"later"}"#);
    let event_id = id(&sent, "event_id");
    assert_eq!(driver.event(event_id)["attempts"], 0);
    assert_eq!(driver.by("cancelEvent", &[event_id])["cancelled"], 1);
    assert_eq!(driver.event(event_id)["status"], "CANCELLED");

    let lines: String = (0..20).map(|n| format!("{{\"n\":{n},\"exact\":1e400}}\n\n")).collect();
    let keyed = ["--type", "many", "--idempotency-key", "once"];
    let batch = driver.by_feeding("publishBatch", &keyed, &lines);
    assert_eq!(batch["events"].as_array().unwrap().len(), 20);
    let again = driver.by_feeding("publishBatch", &keyed, &lines);
    assert_eq!(
        (&again["events"][7]["event_id"], &again["events"][7]["replayed"]),
        (&batch["events"][7]["event_id"], &json!(true))
    );
    let listed = || driver.by("listEvents", &["--type", "many"])["events"].as_array().unwrap().len();
    assert_eq!(listed(), 20);
    let bad = feed(&mut driver.house.command(&["send", "--batch", "--type", "many"]), "{}\n[1]\n");
    assert_eq!(bad.status.code(), Some(1), "{}", text(&bad.stderr));
    assert!(text(&bad.stderr).contains("events[1]"), "{}", text(&bad.stderr));
    let bad = feed(&mut driver.house.command(&["send", "--batch", "--type", "many"]), "{}\n{\n");
    assert!(text(&bad.stderr).contains("line 2"), "{}", text(&bad.stderr));
    assert_eq!(listed(), 20, "all of a batch, or none");
    let exported = text(&driver.command("exportEvents", &["--type", "many"]).output().unwrap().stdout);
    assert_eq!(exported.lines().filter(|line| line.contains("\"exact\":1e400")).count(), 20, "{exported}");
    let counted = driver.by("showStats", &["--type", "many"]);
    assert_eq!(counted["total"]["events"], 20);
}

/// Of the twenty events before, one a second: it is under way as long as this takes.
fn replays(driver: &Driver) {
    eventually("all are delivered", || {
        let delivered =
            driver.by("listEvents", &["--type", "many", "--status", "delivered"])["events"].take();
        (delivered.as_array().unwrap().len() == 20).then_some(())
    });
    let started = driver.by("startReplay", &["--type", "many", "--status", "delivered", "--rate", "1"]);
    let replay_id = id(&started, "replay_id");
    let state = || driver.by("showReplay", &[replay_id])["state"].take();
    driver.by("pauseReplay", &[replay_id]);
    assert_eq!(state(), "paused");
    driver.by("resumeReplay", &[replay_id]);
    assert_eq!(state(), "running");
    eventually("it makes progress", || {
        (driver.by("showReplay", &[replay_id])["replayed"].as_u64().unwrap() > 0).then_some(())
    });
    driver.by("cancelReplay", &[replay_id]);
    assert_eq!(state(), "cancelled");
    let second = driver.by("startReplay", &["--type", "none.such"]);
    let listed = driver.by("listReplays", &["--limit", "1"]);
    assert_eq!(
        (&listed["replays"][0]["replay_id"], &listed["has_more"]),
        (&second["replay_id"], &json!(true))
    );
}

fn erasing(driver: &Driver) {
    let events = driver.by("listEvents", &["--type", "many"])["events"].take();
    let event_id = id(&events[0], "event_id");
    let receipt = driver.by("erasePayload", &[event_id]);
    assert!(id(&receipt, "erasure_id").starts_with("ers_"));
    assert!(driver.event(event_id)["payload_erased_at"].is_string());
    let counted = driver.by("erasePayloads", &["--payload", "n:3", "--dry-run"]);
    assert_eq!(counted, json!({"would_erase": 1}));
    let erased = driver.by("erasePayloads", &["--payload", "n:3"]);
    assert_eq!(erased["erased"], 1);
    let receipts = driver.by("showErasure", &[id(&erased, "erasure_id")])["receipts"].take();
    let of = id(&receipts[0], "event_id");
    assert_eq!(driver.event(of)["payload"], Value::Null);
    let everything = driver.house.run(&["erasure", "start"]);
    assert_eq!(
        everything.status.code(),
        Some(1),
        "without a condition nothing is: {}",
        text(&everything.stderr)
    );
}

fn operators(driver: &Driver) {
    let target = "https://example.com/hooks";
    let made = driver.by("createTenant", &["initech", "--target-url", target]);
    let key = id(&made, "api_key");
    let send = || feed(driver.house.command(&["send"]).args(["--api-key", key]), "{}").status.code();
    assert_eq!(send(), Some(0));
    let listed = driver.by("listTenants", &[])["tenants"].as_array().unwrap().len();
    assert_eq!(listed, 4);

    let limits = ["--rate-per-second", "0", "--burst", "7", "--retention-days", "9", "--secret-file", "-"];
    let secret = "initech-s-own-webhook-secret";
    driver.by_feeding("changeTenant", &[&["initech"], &limits[..]].concat(), secret);
    let shown = driver.by("showTenant", &["initech"]);
    let expected = json!([0, 7, 9, target]);
    assert_eq!(
        json!([shown["rate_per_second"], shown["burst"], shown["retention_days"], shown["target_url"]]),
        expected
    );
    driver.by(
        "changeTenant",
        &["initech", "--default", "burst,retention-days", "--target-url", "https://example.com:443/new"],
    );
    let shown = driver.by("showTenant", &["initech"]);
    let expected = json!([0, null, null, "https://example.com/new"]);
    assert_eq!(
        json!([shown["rate_per_second"], shown["burst"], shown["retention_days"], shown["target_url"]]),
        expected
    );
    let own = printed(&driver.house.run(&["own-tenant", "show", "--api-key", key, "--json"]));
    assert_eq!(own["tenant"]["rate_per_second"], 0, "as the api shows it");

    driver.by("suspendTenant", &["initech"]);
    eventually("it publishes nothing", || (send() == Some(4)).then_some(()));
    driver.by("resumeTenant", &["initech"]);
    eventually("it publishes again", || (send() == Some(0)).then_some(()));
    driver.by("deleteTenant", &["initech", "--yes"]);
    assert_eq!(send(), Some(4));
    let audit = driver.by("listAudit", &["--tenant", "initech", "--after", "2026-01-01T00:00:00Z"]);
    let actions: Vec<&str> =
        audit["entries"].as_array().unwrap().iter().map(|entry| id(entry, "action")).collect();
    let expected = ["delete", "resume", "suspend", "change", "change", "create"];
    assert_eq!(actions, expected.map(|action| format!("tenant.{action}")));
    let before = driver.by("listAudit", &["--tenant", "initech", "--before", "2026-01-01T00:00:00Z"]);
    assert_eq!(before["entries"], json!([]));
}
