use std::io;
use std::path::PathBuf;

/// Why there is no private PostgreSQL, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum PrivatePostgresError {
    /// No server programs, and none could be downloaded.
    #[error(
        "no PostgreSQL server programs (version 15 or newer).\n  looked in: {looked_in}\n  download: {download}\n\
         Ways out: install PostgreSQL (Debian: apt-get install postgresql; macOS: brew install postgresql), put the \
         folder of `postgres` and `initdb` on PATH, or use a server that runs already: --database-url postgres://..."
    )]
    NoPrograms {
        /// The folders that were looked in, with what was wrong with what was there.
        looked_in: String,
        /// Why the download failed.
        download: String,
    },
    /// Another server uses the data.
    #[error(
        "{} is in use by a PostgreSQL that runs already (process {pid}); stop it, or choose another --data-dir",
        .folder.display()
    )]
    InUse {
        /// The data.
        folder: PathBuf,
        /// That server's process.
        pid: i32,
    },
    /// The folder holds files of others, which must not be made the server's.
    #[error("{} holds other files; choose an empty folder, or one of an earlier start, with --data-dir", .0.display())]
    NotOurs(PathBuf),
    /// The data were made by another major version.
    #[error(
        "the data in {} were made by PostgreSQL {data}, and the programs found are {programs}; put the programs of \
         PostgreSQL {data} on PATH, or choose another --data-dir",
        .folder.display()
    )]
    OtherVersion {
        /// The data.
        folder: PathBuf,
        /// The version that made them.
        data: String,
        /// The version of the programs.
        programs: String,
    },
    /// The process is root, PostgreSQL refuses root, and there is no other user to run it as.
    #[error(
        "PostgreSQL does not run as root, and there is neither a user `postgres` nor `nobody`; run as another user"
    )]
    NoUser,
    /// `initdb` failed.
    #[error("initdb failed: {0}")]
    InitDb(String),
    /// The server ended, or did not accept connections in time.
    #[error("PostgreSQL did not start; the end of its log:\n{log}")]
    DidNotStart {
        /// The last lines of its log.
        log: String,
    },
    /// A file or process could not be used.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// What the system said.
        source: io::Error,
    },
}

impl PrivatePostgresError {
    pub(super) fn io(doing: impl Into<String>, source: io::Error) -> Self {
        Self::Io { doing: doing.into(), source }
    }
}
