//! What can go wrong between Trunkline and its database.

use std::time::Duration;

use sqlx::postgres::{PgDatabaseError, PgSeverity};

/// Why a statement did not do what it was asked. No variant carries a value of the statement.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached, lets nobody in, is starting or stopping, or answered too late. Trying again is right.
    #[error("the database is not available: {0}")]
    Unavailable(#[source] sqlx::Error),
    /// A pooler lends connections of the server for a transaction at a time, and `database.pooler` does not say so: settings and
    /// prepared statements, of which it carries neither, are relied on.
    #[error(
        "there is a transaction pooler before the database, and database.pooler does not say so ({0}); \
         set database.pooler = \"transaction\""
    )]
    Pooler(String),
    /// Another transaction held a row for longer than `lock_timeout`, or in a circle.
    #[error("another transaction holds a row that is needed: {0}")]
    Locked(#[source] sqlx::Error),
    /// A tenant has payload filters that a statement was to be without.
    #[error("events of tenant {0} are to be judged by payload filters")]
    JudgedApart(String),
    /// A row breaks the domain's rules: somebody wrote to the table by hand.
    #[error("{table}.{column} of {key} holds a value that Trunkline does not know; correct it")]
    BadRow {
        /// The table, without its schema.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// Names the row.
        key: String,
    },
    /// The data break a rule of the schema, or the statement does: a bug.
    #[error("the database refused a statement: {0}")]
    Refused(#[source] sqlx::Error),
}

impl StoreError {
    /// How long a caller should wait before it tries again; `None` where that would not help.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable(_) | Self::Locked(_) => Some(Duration::from_secs(1)),
            Self::Pooler(_) | Self::JudgedApart(_) | Self::BadRow { .. } | Self::Refused(_) => None,
        }
    }

    /// Whether the statement took longer than it may.
    pub fn is_too_slow(&self) -> bool {
        matches!(self, Self::Unavailable(sqlx::Error::Database(error)) if error.code().as_deref() == Some(TOO_SLOW))
    }

    /// Whether the login lacks a right.
    pub fn is_forbidden(&self) -> bool {
        matches!(self, Self::Refused(sqlx::Error::Database(error)) if error.code().as_deref() == Some(FORBIDDEN))
    }

    /// Whether a UNIQUE constraint was broken: what was to be created exists.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused(sqlx::Error::Database(error)) if error.is_unique_violation())
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error as E;
        match &error {
            E::Io(_) | E::Tls(_) | E::Protocol(_) | E::PoolTimedOut | E::PoolClosed | E::WorkerCrashed => {
                Self::Unavailable(error)
            }
            E::Database(database) => match database.code().as_deref() {
                Some(JUDGED_APART) => {
                    let detail =
                        database.try_downcast_ref::<PgDatabaseError>().and_then(PgDatabaseError::detail);
                    Self::JudgedApart(detail.unwrap_or_default().to_owned())
                }
                _ if is_of_pooler(database.as_ref()) => Self::Pooler(database.message().to_owned()),
                Some(code) if is_locked(code) => Self::Locked(error),
                Some(code) if is_unavailable(code) => Self::Unavailable(error),
                _ if ends_session(database.as_ref()) => Self::Unavailable(error),
                _ => Self::Refused(error),
            },
            _ => Self::Refused(error),
        }
    }
}

/// Ours: `trunkline.judge_apart`.
const JUDGED_APART: &str = "TL001";

/// query_canceled (PostgreSQL, appendix A): past `statement_timeout`.
const TOO_SLOW: &str = "57014";

/// insufficient_privilege (the same).
const FORBIDDEN: &str = "42501";

/// What comes of sessions through a transaction pooler: PgBouncer refuses what is asked for as one begins, in these words, and a
/// statement that was prepared on one connection of the server is not there on the next (26000 invalid_sql_statement_name), or another
/// client's has its name (42P05 duplicate_prepared_statement).
fn is_of_pooler(error: &dyn sqlx::error::DatabaseError) -> bool {
    error.message().starts_with("unsupported startup parameter")
        || matches!(error.code().as_deref(), Some("26000" | "42P05"))
}

/// SQLSTATEs of lock waits (PostgreSQL, appendix A): lock_not_available, deadlock_detected, serialization_failure.
fn is_locked(code: &str) -> bool {
    matches!(code, "55P03" | "40P01" | "40001")
}

/// Whether the server did not let the login in (unknown, locked out, another password, no right to connect, a database that takes no
/// connections), or put it out. What is wrong with a statement is an ERROR, and the session goes on.
fn ends_session(error: &dyn sqlx::error::DatabaseError) -> bool {
    let severity = error.try_downcast_ref::<PgDatabaseError>().map(PgDatabaseError::severity);
    matches!(severity, Some(PgSeverity::Fatal | PgSeverity::Panic))
}

/// SQLSTATE classes of a server that cannot serve now: 08 connection exceptions, 53 insufficient resources, 57P0x
/// shutdown or start-up, 58 system errors, 57014 a statement past its timeout, 25006 a standby, 3D000 no such database.
fn is_unavailable(code: &str) -> bool {
    ["08", "53", "57P", "58"].iter().any(|class| code.starts_with(class))
        || matches!(code, TOO_SLOW | "25006" | "25P03" | "3D000")
}
