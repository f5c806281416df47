//! Where the data live and as whom the server runs. PostgreSQL refuses root, so as root it runs as an unprivileged user,
//! who must be able to reach its files.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::{User, geteuid};

use super::{Kind, Options, PrivatePostgresError};

/// Tried in this order when we are root.
const UNPRIVILEGED_USERS: [&str; 2] = ["postgres", "nobody"];

/// Where clusters go when the user cannot reach the data folder, as under `/root`.
const REACHABLE: &str = "/var/lib/trunkline";

/// The folder of a cluster, and its owner.
#[derive(Debug, Clone)]
pub(super) struct Place {
    folder: PathBuf,
    owner: Option<User>,
}

impl Place {
    /// Makes the folder, 0700.
    pub(super) fn prepare(options: &Options) -> Result<Self, PrivatePostgresError> {
        let owner = unprivileged_user()?;
        let wanted = match (&options.data_dir, options.kind) {
            (Some(folder), Kind::Persistent) => absolute(folder)?,
            (None, Kind::Persistent) => absolute(Path::new(".trunkline"))?,
            (_, Kind::Ephemeral) => {
                let number = u64::from_ne_bytes(crate::random::random_bytes());
                std::env::temp_dir().join(format!("trunkline-postgres-{}-{number:016x}", std::process::id()))
            }
        };
        refuse_files_of_others(&wanted)?;
        let place = Self { folder: reachable(wanted, owner.as_ref())?, owner };
        place.make_folder(&place.folder)?;
        Ok(place)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A command that runs as the unprivileged user where we are root.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.folder);
        if let Some(owner) = &self.owner {
            command.uid(owner.uid.as_raw()).gid(owner.gid.as_raw());
        }
        command
    }

    /// Makes a folder that only the server's user (and root) can enter.
    pub(super) fn make_folder(&self, folder: &Path) -> Result<(), PrivatePostgresError> {
        let failed = |source| PrivatePostgresError::io(format!("creating {}", folder.display()), source);
        fs::create_dir_all(folder).map_err(failed)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(failed)?;
        self.give(folder)
    }

    /// Writes a file that only the server's user (and root) can read.
    pub(super) fn write(&self, file: &Path, text: &str) -> Result<(), PrivatePostgresError> {
        use std::io::Write;
        use std::os::unix::fs::OpenOptionsExt;

        let failed = |source| PrivatePostgresError::io(format!("writing {}", file.display()), source);
        let mut options = fs::OpenOptions::new();
        let mut open =
            options.write(true).create(true).truncate(true).mode(0o600).open(file).map_err(failed)?;
        open.write_all(text.as_bytes()).map_err(failed)?;
        self.give(file)
    }

    fn give(&self, path: &Path) -> Result<(), PrivatePostgresError> {
        let Some(owner) = &self.owner else { return Ok(()) };
        chown(path, Some(owner.uid.as_raw()), Some(owner.gid.as_raw())).map_err(|source| {
            PrivatePostgresError::io(format!("giving {} to {}", path.display(), owner.name), source)
        })
    }
}

/// Everything that a data folder of ours can hold, `trunkline dev`'s own files among it.
const OUR_FILES: [&str; 10] = [
    "password",
    "initial-password",
    "port",
    "postgres",
    "postgres.log",
    "programs",
    "lock",
    "credentials.json",
    "dev.json",
    ".gitignore",
];

/// A folder given by mistake, such as `/etc`, must not change its owner.
fn refuse_files_of_others(folder: &Path) -> Result<(), PrivatePostgresError> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(());
    };
    let is_ours = |name: &std::ffi::OsStr| OUR_FILES.iter().any(|ours| name == *ours);
    if entries.flatten().all(|entry| is_ours(&entry.file_name())) {
        return Ok(());
    }
    Err(PrivatePostgresError::NotOurs(folder.to_owned()))
}

fn unprivileged_user() -> Result<Option<User>, PrivatePostgresError> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    UNPRIVILEGED_USERS
        .iter()
        .find_map(|name| User::from_name(name).ok().flatten())
        .map(Some)
        .ok_or(PrivatePostgresError::NoUser)
}

fn absolute(folder: &Path) -> Result<PathBuf, PrivatePostgresError> {
    std::path::absolute(folder)
        .map_err(|source| PrivatePostgresError::io(format!("finding {}", folder.display()), source))
}

/// The folder wanted, or one of its own under [`REACHABLE`] where the user cannot get to it. The name is a hash of the
/// folder wanted, so that the next start finds the same.
fn reachable(wanted: PathBuf, user: Option<&User>) -> Result<PathBuf, PrivatePostgresError> {
    let Some(user) = user else { return Ok(wanted) };
    if wanted.ancestors().skip(1).all(|ancestor| may_traverse(ancestor, user)) {
        return Ok(wanted);
    }
    let parent = Path::new(REACHABLE);
    let failed = |source| PrivatePostgresError::io(format!("creating {REACHABLE}"), source);
    fs::create_dir_all(parent).map_err(failed)?;
    fs::set_permissions(parent, fs::Permissions::from_mode(0o711)).map_err(failed)?;
    Ok(parent.join(format!("{:016x}", fnv1a(wanted.as_os_str().as_encoded_bytes()))))
}

/// A folder that does not exist yet will be made by us and let everyone through.
fn may_traverse(folder: &Path, user: &User) -> bool {
    fs::metadata(folder).map_or(true, |found| {
        let mode = found.mode();
        match (found.uid() == user.uid.as_raw(), found.gid() == user.gid.as_raw()) {
            (true, _) => mode & 0o100 != 0,
            (false, true) => mode & 0o010 != 0,
            (false, false) => mode & 0o001 != 0,
        }
    })
}

/// FNV-1a: stable over releases, which the standard library's hasher is not. It only has to tell folders apart.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
