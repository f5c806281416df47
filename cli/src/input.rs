//! What a command reads: a file, or standard input.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::failure::Failure;

/// More than any secret; a file that is none is not read to its end.
const SECRET_BYTES_MAX: u64 = 1_024;

/// A secret of one's own choice. On a command line itself other users of the machine, and the shell's history, would see it.
#[derive(Debug, Args)]
pub(crate) struct ChosenSecret {
    /// A file with a webhook secret of your own choice, or - for standard input
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

impl ChosenSecret {
    /// What the file has, without the line's end; `None` = there is no file.
    ///
    /// # Errors
    /// [`Failure::Usage`] when it cannot be read.
    pub(crate) fn read(&self) -> anyhow::Result<Option<Zeroizing<String>>> {
        let Some(file) = &self.secret_file else { return Ok(None) };
        let text = Zeroizing::new(String::from_utf8_lossy(&read(file, SECRET_BYTES_MAX)?).into_owned());
        Ok(Some(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned())))
    }
}

/// A file, or standard input for `-`, as it comes in.
///
/// # Errors
/// [`Failure::Usage`] when it cannot be opened.
pub(crate) fn open(file: &Path) -> anyhow::Result<Box<dyn BufRead + Send>> {
    if file == Path::new("-") {
        return Ok(Box::new(BufReader::new(io::stdin())));
    }
    let opened = File::open(file).map_err(|error| unreadable(file, &error))?;
    Ok(Box::new(BufReader::new(opened)))
}

/// All of it, but no more than `bytes_max`.
///
/// # Errors
/// [`Failure::Usage`] when it cannot be read.
pub(crate) fn read(file: &Path, bytes_max: u64) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(file)?.take(bytes_max).read_to_end(&mut bytes).map_err(|error| unreadable(file, &error))?;
    Ok(bytes)
}

/// JSON, kept as it is written.
///
/// # Errors
/// [`Failure::Usage`] when it cannot be read, or is not JSON.
pub(crate) fn json(file: &Path, bytes_max: u64) -> anyhow::Result<Box<RawValue>> {
    serde_json::from_slice(&read(file, bytes_max)?)
        .map_err(|error| Failure::Usage(format!("{} is not JSON: {error}", file.display())).into())
}

fn unreadable(file: &Path, error: &io::Error) -> Failure {
    Failure::Usage(format!("{} cannot be read: {error}", file.display()))
}
