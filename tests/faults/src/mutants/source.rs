//! A copy of the source that may be broken.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use sha2::{Digest, Sha256};
use tokio::process::Command;

use super::list::Mutant;

/// The copy; it stays for the next run, since most of what it compiles does not change.
pub(super) struct Copy {
    folder: PathBuf,
}

/// What was changed, put back when this is dropped.
pub(super) struct Mutated(Vec<(PathBuf, Option<String>)>);

impl Copy {
    /// Copies every file that git knows.
    pub(super) async fn make() -> anyhow::Result<Self> {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
        let folder = workspace.join("target/mutants");
        let source = folder.join("source");
        if source.exists() {
            std::fs::remove_dir_all(&source)?;
        }
        let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(&workspace).output().await?;
        ensure!(listed.status.success(), "git does not list the source");
        for name in String::from_utf8(listed.stdout)?.split_terminator('\0') {
            let (from, to) = (workspace.join(name), source.join(name));
            std::fs::create_dir_all(to.parent().context("a file without a folder")?)?;
            // Deleted and not committed yet: not part of the source any more.
            if from.exists() {
                // Keeps the times of the files, by which cargo knows what has not changed.
                let copied = std::fs::copy(&from, &to).with_context(|| format!("copying {name}"));
                copied.and_then(|_| {
                    Ok(std::fs::File::open(&to)?.set_modified(from.metadata()?.modified()?)?)
                })?;
            }
        }
        Ok(Self { folder })
    }

    pub(super) fn workspace(&self) -> PathBuf {
        self.folder.join("source")
    }

    pub(super) fn target(&self) -> PathBuf {
        self.folder.join("target")
    }

    /// Makes the mutant's edits, each of which must be possible in one place only.
    pub(super) fn mutate(&self, mutant: &Mutant) -> anyhow::Result<Mutated> {
        let mut mutated = Mutated(Vec::new());
        let file = self.workspace().join(mutant.file);
        let text = std::fs::read_to_string(&file).with_context(|| format!("reading {}", mutant.file))?;
        let changed = edit(&text, mutant).with_context(|| format!("{} has changed", mutant.file))?;
        std::fs::write(&file, changed)?;
        mutated.0.push((file, Some(text)));
        if mutant.is_statement {
            self.describe_statement(mutant, &mut mutated)?;
        }
        Ok(mutated)
    }

    /// Statements are checked against `.sqlx`, by the hash of their text: gives the changed one the description of the
    /// one it was made from, whose parameters and columns it keeps.
    fn describe_statement(&self, mutant: &Mutant, mutated: &mut Mutated) -> anyhow::Result<()> {
        let mut described = 0;
        for entry in std::fs::read_dir(self.workspace().join(".sqlx"))?.flatten() {
            let mut description: serde_json::Value = serde_json::from_slice(&std::fs::read(entry.path())?)?;
            let query = description["query"].as_str().context("a description without a query")?.to_owned();
            let Ok(changed) = edit(&query, mutant) else { continue };
            let hash: String = Sha256::digest(&changed).iter().map(|byte| format!("{byte:02x}")).collect();
            description["query"] = changed.into();
            description["hash"] = hash.clone().into();
            let file = entry.path().with_file_name(format!("query-{hash}.json"));
            std::fs::write(&file, description.to_string())?;
            mutated.0.push((file, None));
            described += 1;
        }
        ensure!(described > 0, "no statement in .sqlx has what is to be replaced");
        Ok(())
    }
}

fn edit(text: &str, mutant: &Mutant) -> anyhow::Result<String> {
    let mut text = text.to_owned();
    for (find, replace) in mutant.edits {
        let found = text.matches(find).count();
        ensure!(found == 1, "what is to be replaced stands there {found} times, not once: {find}");
        text = text.replace(find, replace);
    }
    Ok(text)
}

impl Drop for Mutated {
    fn drop(&mut self) {
        for (file, before) in &self.0 {
            // What cannot be put back here is made anew by the next copy.
            let _ = match before {
                Some(text) => std::fs::write(file, text),
                None => std::fs::remove_file(file),
            };
        }
    }
}
