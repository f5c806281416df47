//! Finding `postgres` and `initdb`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::place::Place;
use super::{PrivatePostgresError, download};

/// The oldest version that is supported.
const VERSION_MIN: u32 = 15;

/// Folders whose entries are versions, and what follows the version.
const VERSIONED: [(&str, &str); 6] = [
    ("/usr/lib/postgresql", "bin"),
    ("/usr/local/lib/postgresql", "bin"),
    ("/opt/homebrew/opt", "bin"),
    ("/usr/local/opt", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "bin"),
    ("/usr", "bin"),
];

/// Folders of a single installation.
const PLAIN: [&str; 3] = ["/usr/local/pgsql/bin", "/opt/local/lib/postgresql/bin", "/usr/libexec/postgresql"];

/// The folder of the server's programs.
#[derive(Debug)]
pub(super) struct Programs {
    folder: PathBuf,
    version: String,
}

impl Programs {
    /// Takes those named, else the newest found, else downloads them.
    pub(super) async fn find(named: Option<&Path>, place: &Place) -> Result<Self, PrivatePostgresError> {
        let candidates = named.map_or_else(candidates, |folder| vec![folder.to_owned()]);
        let downloads = download::folder(place);
        let mut looked_in = Vec::new();
        for folder in candidates.into_iter().chain(download::found(&downloads)) {
            match Self::at(&folder) {
                Ok(programs) => return Ok(programs),
                Err(reason) => looked_in.push(format!("{} ({reason})", folder.display())),
            }
        }
        let looked_in =
            if looked_in.is_empty() { "PATH and the usual folders".to_owned() } else { looked_in.join(", ") };
        let downloaded = download::fetch(&downloads).await.and_then(|folder| Self::at(&folder));
        downloaded.map_err(|download| PrivatePostgresError::NoPrograms { looked_in, download })
    }

    pub(super) fn postgres(&self) -> PathBuf {
        self.folder.join("postgres")
    }

    pub(super) fn initdb(&self) -> PathBuf {
        self.folder.join("initdb")
    }

    pub(super) fn version(&self) -> &str {
        &self.version
    }

    fn at(folder: &Path) -> Result<Self, String> {
        if !folder.join("initdb").is_file() {
            return Err("no initdb".to_owned());
        }
        let output = Command::new(folder.join("postgres"))
            .arg("--version")
            .output()
            .map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&output.stdout);
        let version =
            text.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()));
        let version = version.ok_or("`postgres --version` tells no version")?.to_owned();
        if major(&version) < VERSION_MIN {
            return Err(format!("version {version} is older than {VERSION_MIN}"));
        }
        Ok(Self { folder: folder.to_owned(), version })
    }
}

/// Folders that hold a `postgres`: PATH first, then installations, the newest version first.
#[expect(clippy::disallowed_methods, reason = "this is where the environment is read for everyone")]
fn candidates() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).collect::<Vec<_>>();
    let mut versioned: Vec<PathBuf> =
        VERSIONED.iter().flat_map(|(parent, below)| children(Path::new(parent), below)).collect();
    versioned.sort_by_key(|folder| std::cmp::Reverse(major_in(folder)));
    let plain = PLAIN.iter().map(PathBuf::from);
    on_path
        .into_iter()
        .chain(versioned)
        .chain(plain)
        .filter(|folder| folder.join("postgres").is_file())
        .collect()
}

fn children(parent: &Path, below: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(parent) else {
        return Vec::new();
    };
    entries
        .flatten()
        .map(|entry| entry.path().join(below))
        .filter(|folder| folder.join("postgres").is_file())
        .collect()
}

/// The version in a path such as `/usr/lib/postgresql/15/bin` or `/usr/pgsql-16/bin`.
fn major_in(folder: &Path) -> u32 {
    let name = folder.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    let digits = name.unwrap_or_default();
    major(digits.trim_start_matches(|character: char| !character.is_ascii_digit()))
}

fn major(version: &str) -> u32 {
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_names_of_all_kinds() {
        for (version, expected) in [("15.18", 15), ("16beta1", 16), ("9.6.24", 9), ("devel", 0)] {
            assert_eq!(major(version), expected, "{version}");
        }
        for (folder, expected) in [
            ("/usr/lib/postgresql/15/bin", 15),
            ("/usr/pgsql-16/bin", 16),
            ("/opt/homebrew/opt/postgresql@17/bin", 17),
        ] {
            assert_eq!(major_in(Path::new(folder)), expected, "{folder}");
        }
    }
}
