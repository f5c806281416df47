//! The arrows between the rooms, as docs/ARCHITECTURE.md draws them. Whoever adds one changes the drawing and this.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Rooms that may know all others and ship to nobody.
const TESTS: &[&str] = &["tests", "faults"];

/// Room, and the rooms it may know. Those of [`TESTS`] may know all of them.
const ARROWS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("signing", &[]),
    ("boot", &[]),
    ("store", &["domain"]),
    ("vault", &["domain"]),
    ("egress", &["domain"]),
    ("api", &["domain", "store", "vault", "egress", "boot", "signing"]),
    ("worker", &["domain", "store", "vault", "egress", "signing", "boot"]),
    ("receiver", &["domain", "store", "vault", "signing", "boot"]),
    ("cli", &["api", "worker", "receiver", "store", "domain", "vault", "boot"]),
    ("testkit", &["domain", "store", "signing", "vault", "boot"]),
    // Starting a private PostgreSQL is not worth writing twice.
    ("bench", &["signing", "boot"]),
];

/// Libraries that only some rooms may use, because the others must not do what they do.
const RESERVED: &[(&str, &[&str])] = &[
    // Calling endpoints is the worker's alone; testkit and bench play endpoints, and clients of the api.
    ("hyper", &["worker", "testkit", "bench"]),
    ("hyper-util", &["worker", "testkit", "bench"]),
    ("tokio-rustls", &["worker"]),
    ("reqwest", &[]),
    // SQL is the store's; testkit makes databases.
    ("sqlx", &["store", "testkit"]),
    ("sqlx-core", &["store"]),
];

/// Libraries that a room must do without.
const ABSENT: &[(&str, &[&str])] = &[
    ("domain", &["tokio", "sqlx", "actix-web", "hyper", "rand"]),
    ("signing", &["tokio", "sqlx", "actix-web", "hyper", "rand"]),
];

struct Room {
    name: String,
    folder: String,
    dependencies: BTreeSet<String>,
    dev_dependencies: BTreeSet<String>,
}

impl Room {
    fn is_for_tests(&self) -> bool {
        TESTS.contains(&self.name.as_str())
    }
}

fn rooms() -> Vec<Room> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().iter().map(room).collect()
}

fn room(package: &Value) -> Room {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let of_kind = |wanted: &[Value]| {
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        dependencies.filter(|one| wanted.contains(&one["kind"])).map(|one| text(&one["name"])).collect()
    };
    let manifest = text(&package["manifest_path"]);
    Room {
        name: text(&package["name"]).strip_prefix("trunkline-").unwrap().to_owned(),
        folder: Path::new(&manifest).parent().unwrap().display().to_string(),
        dependencies: of_kind(&[Value::Null, Value::from("build")]),
        dev_dependencies: of_kind(&[Value::from("dev")]),
    }
}

fn internal(dependencies: &BTreeSet<String>) -> BTreeSet<&str> {
    dependencies.iter().filter_map(|name| name.strip_prefix("trunkline-")).collect()
}

#[test]
fn every_arrow_between_rooms_is_drawn() {
    for room in rooms().iter().filter(|room| !room.is_for_tests()) {
        let (_, allowed) = ARROWS
            .iter()
            .find(|(name, _)| *name == room.name)
            .unwrap_or_else(|| panic!("{} is in no drawing", room.name));
        let allowed: BTreeSet<&str> = allowed.iter().copied().collect();
        let known = internal(&room.dependencies);
        let undrawn: Vec<_> = known.difference(&allowed).collect();
        assert!(undrawn.is_empty(), "{} must not know {undrawn:?}", room.name);
    }
}

#[test]
fn tests_of_a_room_add_nothing_but_the_testkit() {
    for room in rooms().iter().filter(|room| !room.is_for_tests()) {
        let allowed: BTreeSet<&str> = ARROWS
            .iter()
            .find(|(name, _)| *name == room.name)
            .unwrap()
            .1
            .iter()
            .copied()
            .chain(["testkit", &room.name])
            .collect();
        let known = internal(&room.dev_dependencies);
        let undrawn: Vec<_> = known.difference(&allowed).collect();
        assert!(undrawn.is_empty(), "the tests of {} must not know {undrawn:?}", room.name);
    }
    let ships_testkit = rooms()
        .into_iter()
        .find(|room| !room.is_for_tests() && room.dependencies.contains("trunkline-testkit"));
    assert!(ships_testkit.is_none(), "testkit is for tests only");
}

#[test]
fn reserved_libraries_stay_in_their_rooms() {
    for room in rooms().iter().filter(|room| !room.is_for_tests()) {
        for (library, owners) in RESERVED {
            let uses = room.dependencies.contains(*library);
            assert!(!uses || owners.contains(&room.name.as_str()), "{} must not use {library}", room.name);
        }
    }
    for (name, absent) in ABSENT {
        let room = rooms().into_iter().find(|room| room.name == *name).unwrap();
        for library in *absent {
            assert!(!room.dependencies.contains(*library), "{name} must do without {library}");
        }
    }
}

#[test]
fn statements_stand_only_in_the_store() {
    for room in rooms().iter().filter(|room| room.name != "store") {
        for file in rust_files(Path::new(&room.folder), false) {
            let text = std::fs::read_to_string(&file).unwrap();
            // Built in two parts, so that this line does not find itself.
            let found = text.contains(concat!("sqlx::", "query"));
            assert!(!found, "{} holds a statement", file.display());
        }
    }
}

#[test]
fn what_sends_is_never_handed_a_pool() {
    let worker = rooms().into_iter().find(|room| room.name == "worker").unwrap();
    for file in rust_files(&Path::new(&worker.folder).join("src/attempt"), false) {
        let text = std::fs::read_to_string(&file).unwrap();
        // Of the store it knows what a claim brought, and no connection.
        let mut of_store = text.lines().filter(|line| line.contains("trunkline_store"));
        let knows_rows_only = of_store.all(|line| line.contains("trunkline_store::deliveries::"));
        assert!(!text.contains("Pool") && knows_rows_only, "{} could hold a transaction", file.display());
    }
}

/// Lints are stated once; a room that does not take them could do what they forbid.
#[test]
fn unsafe_code_is_forbidden_in_every_room() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let stated = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
    assert!(stated.contains("[workspace.lints.rust]\nunsafe_code = \"forbid\"\n"));
    for room in rooms() {
        let manifest = std::fs::read_to_string(Path::new(&room.folder).join("Cargo.toml")).unwrap();
        assert!(manifest.contains("\n[lints]\nworkspace = true\n"), "{} takes no lints", room.name);
    }
}

/// The sources under a folder; with those of rooms inside it, or without.
pub(crate) fn rust_files(folder: &Path, with_rooms: bool) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            // A room inside another's folder has its own turn; `target` holds none of ours.
            let is_open = with_rooms || !path.join("Cargo.toml").exists();
            if path.is_dir() && !path.ends_with("target") && is_open {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    assert!(!files.is_empty(), "no sources found");
    files
}
