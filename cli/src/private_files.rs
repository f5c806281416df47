//! Files and folders that only their owner may read.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::Context as _;

use crate::failure::Failure;

const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// Anyone may write into it, as into /tmp.
const WORLD_WRITABLE: u32 = 0o002;

/// Makes sure that `folder` exists and that nobody else can look into it.
///
/// # Errors
/// It cannot be made, or is a folder that everyone shares: closing that would hurt others.
pub(crate) fn own_folder(folder: &Path) -> anyhow::Result<()> {
    let shown = folder.display();
    DirBuilder::new()
        .recursive(true)
        .mode(FOLDER_MODE)
        .create(folder)
        .with_context(|| format!("the folder {shown} cannot be made"))?;
    let mode = fs::metadata(folder)?.permissions().mode();
    if mode & WORLD_WRITABLE != 0 {
        let reason = format!("everyone may write into {shown}; name a folder of its own with --data-dir");
        return Err(Failure::Usage(reason).into());
    }
    if mode & 0o777 != FOLDER_MODE {
        fs::set_permissions(folder, Permissions::from_mode(FOLDER_MODE))
            .with_context(|| format!("the folder {shown} cannot be closed to others"))?;
    }
    Ok(())
}

/// Replaces `path` at once: a reader sees the old content or the new, never a part.
///
/// # Errors
/// The folder cannot be written to.
pub(crate) fn replace(path: &Path, content: &str) -> anyhow::Result<()> {
    let new = path.with_extension("new");
    write_new(&new, content)
        .and_then(|()| fs::rename(&new, path))
        .with_context(|| format!("{} cannot be written", path.display()))
}

fn write_new(path: &Path, content: &str) -> io::Result<()> {
    // One left behind by a crash may have another mode.
    remove(path)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()
}

/// Removes a file if it is there.
///
/// # Errors
/// It is there and cannot be removed.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Reads a file, if it is there.
///
/// # Errors
/// It is there and cannot be read.
pub(crate) fn read(path: &Path) -> anyhow::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
    }
}

/// Takes the lock `path`, which the system frees when the process ends, however it ends. `None`: another has it.
///
/// # Errors
/// The file cannot be made.
pub(crate) fn lock(path: &Path) -> anyhow::Result<Option<File>> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE_MODE)
        .open(path)
        .with_context(|| format!("{} cannot be made", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("{} cannot be locked", path.display()))
        }
    }
}
