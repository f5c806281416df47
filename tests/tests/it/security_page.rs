//! docs/SECURITY.md says for each threat which test shows the guard. Here the names are held to be true.

use std::path::Path;

use crate::layering::rust_files;

const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Names of the database that look like those of tests.
const NO_TESTS: [&str; 2] = ["last_used_at", "trunkline_tenant_reader"];

/// The rows of all tables whose last column is "shown by": the threat, and what is in backticks in that column.
fn claims() -> Vec<(String, Vec<String>)> {
    let page = std::fs::read_to_string(Path::new(WORKSPACE).join("docs/SECURITY.md")).unwrap();
    let mut claims = Vec::new();
    let mut is_in_table = false;
    for line in page.lines() {
        let Some(row) = line.strip_prefix('|') else {
            is_in_table = false;
            continue;
        };
        let cells: Vec<&str> = row.trim_end_matches('|').split(" | ").map(str::trim).collect();
        let (threat, last) = (cells[0], cells[cells.len() - 1]);
        if is_in_table && !threat.starts_with("---") {
            let names = last.split('`').skip(1).step_by(2).map(str::to_owned).collect();
            claims.push((threat.to_owned(), names));
        }
        is_in_table |= last == "shown by";
    }
    claims
}

#[test]
fn every_test_that_the_security_page_names_exists() {
    let root = Path::new(WORKSPACE);
    let rooms = ["api", "worker", "receiver", "cli", "crates", "tests"];
    let mut source = String::new();
    for file in rooms.iter().flat_map(|room| rust_files(&root.join(room), true)) {
        source.push_str(&std::fs::read_to_string(file).unwrap());
    }
    let claims = claims();
    assert!(claims.len() > 20, "the tables were not found: {}", claims.len());
    for (threat, names) in claims {
        assert!(!names.is_empty(), "nothing shows the guard against: {threat}");
        for name in names {
            let exists = if name.contains('/') { root.join(&name).exists() } else { is_test(&source, &name) };
            assert!(exists, "{name}, which is to show the guard against \"{threat}\", does not exist");
        }
    }
    for name in told() {
        assert!(is_test(&source, &name), "{name}, which the page names, is no test");
    }
}

#[test]
fn what_no_runner_runs_is_no_test() {
    let passed_over = format!("#[test]\n#[{IGNORE}]\nfn it_holds() {{");
    for (source, expected) in [
        ("#[test]\nfn it_holds() {", true),
        ("#[tokio::test(flavor = \"multi_thread\")]\n    #[cfg(unix)]\n    async fn it_holds() {", true),
        (passed_over.as_str(), false),
        ("#[test]\nfn another() {}\n\nfn it_holds() {", false),
        ("/// #[test]\nasync fn it_holds() {", false),
        ("#[test]\nfn it_holds_not() {", false),
    ] {
        assert_eq!(is_test(source, "it_holds"), expected, "{source}");
    }
}

/// The mark of a test that runners pass over.
const IGNORE: &str = "ignore";

/// Whether a function of that name is marked as a test that is run, beside whatever else it is marked as.
fn is_test(source: &str, name: &str) -> bool {
    let call = format!("fn {name}(");
    source.match_indices(&call).any(|(at, _)| {
        let above = source[..at].lines().rev().skip(usize::from(!source[..at].ends_with('\n')));
        let marks = above.map(str::trim).map_while(|line| line.strip_prefix("#["));
        let marks: Vec<&str> = marks.collect();
        let is_marked = |with: &str| marks.iter().any(|mark| mark.starts_with(with));
        (is_marked("test]") || is_marked("tokio::test")) && !is_marked(IGNORE)
    })
}

/// What stands in backticks anywhere on the page and reads like the name of a test: three words or more, in snake case.
fn told() -> Vec<String> {
    let page = std::fs::read_to_string(Path::new(WORKSPACE).join("docs/SECURITY.md")).unwrap();
    let is_name = |text: &&str| {
        let words: Vec<&str> = text.split('_').collect();
        words.len() >= 3
            && words.iter().all(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase()))
    };
    page.lines()
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .filter(is_name)
        .filter(|name| !NO_TESTS.contains(name))
        .map(str::to_owned)
        .collect()
}
