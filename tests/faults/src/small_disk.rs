//! A disk that can be filled: a tmpfs of limited size, which only root can mount.

use std::fs::{File, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

/// Mounted until it is dropped.
pub(crate) struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    /// Mounts one at `folder`, owned by whom `owned_like` is owned by.
    pub(crate) fn mount(folder: &Path, size_mib: u32, owned_like: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let options = format!("size={size_mib}m");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder);
        ensure!(mount.status().context("running mount")?.success(), "a small disk needs root: mount failed");
        let disk = Self { folder: folder.to_owned() };
        let owner = std::fs::metadata(owned_like)?;
        chown(folder, Some(owner.uid()), Some(owner.gid()))?;
        std::fs::set_permissions(folder, Permissions::from_mode(0o700))?;
        Ok(disk)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Takes every byte that is left.
    pub(crate) fn fill(&self) -> anyhow::Result<()> {
        let mut ballast = File::options().create(true).append(true).open(self.ballast())?;
        let zeros = [0; 4_096];
        while ballast.write_all(&zeros).is_ok() {}
        Ok(())
    }

    /// Gives back what was taken.
    pub(crate) fn empty(&self) -> anyhow::Result<()> {
        std::fs::remove_file(self.ballast()).context("the disk was not filled")
    }

    fn ballast(&self) -> PathBuf {
        self.folder.join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a server that is just being killed may still hold files.
        let _ = Command::new("umount").arg("--lazy").arg(&self.folder).status();
    }
}
