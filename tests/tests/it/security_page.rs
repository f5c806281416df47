//! docs/SECURITY.md says for each threat which test shows the guard. Here the names are held to be true.

use std::path::Path;

use crate::layering::rust_files;

const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

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
            let exists = if name.contains('/') {
                root.join(&name).exists()
            } else {
                source.contains(&format!("fn {name}("))
            };
            assert!(exists, "{name}, which is to show the guard against \"{threat}\", does not exist");
        }
    }
}
