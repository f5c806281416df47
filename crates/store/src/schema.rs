//! The schema's version: applied by `trunkline migrate`, checked by every door before it serves.

use sqlx::PgConnection;
use sqlx::migrate::{MigrateError, Migrator};

use crate::StoreError;
use crate::roles::{self, Role};

static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations");

/// What a door finds in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaState {
    /// As this release needs it.
    Current,
    /// Migrations of this release are missing; `found` is the last one applied, if any was.
    TooOld {
        /// The last migration applied.
        found: Option<i64>,
        /// The last migration of this release.
        needed: i64,
    },
    /// A newer release has migrated it past this one.
    TooNew {
        /// The last migration applied.
        found: i64,
        /// The last migration of this release.
        needed: i64,
    },
}

/// Why a door does not serve on this schema.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// Run the migrations first.
    #[error(
        "the database's schema is too old for this release (it has {}, this release needs {needed}); \
         run `trunkline migrate` with this release first",
        .found.map_or("no Trunkline schema".to_owned(), |version| version.to_string())
    )]
    TooOld {
        /// The last migration applied.
        found: Option<i64>,
        /// The last migration of this release.
        needed: i64,
    },
    /// Run a newer release.
    #[error(
        "the database's schema is too new for this release (it has {found}, this release knows up to {needed}); \
         run the release that migrated it, or a newer one"
    )]
    TooNew {
        /// The last migration applied.
        found: i64,
        /// The last migration of this release.
        needed: i64,
    },
    /// The login is no member of the door's roles.
    #[error(
        "the database login {login} may not act as {0}; let the owner of the tables run: GRANT {0} TO {login}",
        .missing.join(", ")
    )]
    NotInRole {
        /// As whom `database.url` logs in.
        login: String,
        /// The roles that it lacks.
        missing: Vec<String>,
    },
    /// The database did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A migration failed; what it did was rolled back.
    #[error("a migration failed and was rolled back: {0}")]
    Migrate(#[from] MigrateError),
}

/// Applies what is missing, in order, each migration in a transaction of its own, gives the roles their rights, and makes partitions
/// ahead, so that a fresh database accepts events at once. Two at once: the second waits. Returns the versions that were applied.
///
/// # Errors
/// When the database is newer than this release, a migration fails, or the server does not answer.
pub async fn migrate(
    connection: &mut PgConnection,
    ahead_days: i32,
    width_days: i32,
) -> Result<Vec<i64>, SchemaError> {
    // sqlx keeps its list of migrations in the first schema of the search path: with everything else of ours.
    match execute(connection, "CREATE SCHEMA IF NOT EXISTS trunkline").await {
        // Another migration has made it at this moment, which IF NOT EXISTS does not see.
        Err(error) if error.is_conflict() => {}
        made => made?,
    }
    execute(connection, "SET search_path = trunkline, public").await?;
    let before = applied(connection).await?;
    if let SchemaState::TooNew { found, needed } = compare(&before) {
        return Err(SchemaError::TooNew { found, needed });
    }
    MIGRATIONS.run(&mut *connection).await?;
    roles::grant(connection).await?;
    crate::partitions::create_ahead(connection, ahead_days, width_days).await?;
    let after = applied(connection).await?;
    Ok(after.into_iter().filter(|version| !before.contains(version)).collect())
}

/// Compares the database with this release.
///
/// # Errors
/// When the database is not available.
pub async fn state(connection: &mut PgConnection) -> Result<SchemaState, StoreError> {
    Ok(compare(&applied(connection).await?))
}

/// Lets a door go on only with the schema it was written for, and only if its login may act in the door's roles.
///
/// # Errors
/// [`SchemaError::TooOld`], [`SchemaError::TooNew`] or [`SchemaError::NotInRole`], which tell an operator what to do.
pub async fn require_current(connection: &mut PgConnection, acts_as: &[Role]) -> Result<(), SchemaError> {
    let (login, missing) = roles::missing(connection, acts_as).await?;
    if !missing.is_empty() {
        // The roles came with a migration: where there are none, that is the cause, if the login may see so much.
        if let Ok(Err(error)) = state(connection).await.map(SchemaState::require) {
            return Err(error);
        }
        return Err(SchemaError::NotInRole { login, missing });
    }
    let mut transaction = crate::begin(connection).await?;
    // A login that does not inherit its roles' rights could not even look.
    if let Some(role) = acts_as.first() {
        roles::enter(&mut transaction, *role).await?;
    }
    state(&mut transaction).await?.require()
}

impl SchemaState {
    fn require(self) -> Result<(), SchemaError> {
        match self {
            Self::Current => Ok(()),
            Self::TooOld { found, needed } => Err(SchemaError::TooOld { found, needed }),
            Self::TooNew { found, needed } => Err(SchemaError::TooNew { found, needed }),
        }
    }
}

fn compare(applied: &[i64]) -> SchemaState {
    let needed = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0);
    let found = applied.iter().copied().max();
    match found {
        Some(found) if found > needed => SchemaState::TooNew { found, needed },
        Some(found) if found == needed => SchemaState::Current,
        _ => SchemaState::TooOld { found, needed },
    }
}

async fn applied(connection: &mut PgConnection) -> Result<Vec<i64>, StoreError> {
    let exists =
        sqlx::query_scalar!(r#"SELECT to_regclass('trunkline._sqlx_migrations') IS NOT NULL AS "exists!""#)
            .fetch_one(&mut *connection)
            .await?;
    if !exists {
        return Ok(Vec::new());
    }
    // Unchecked, because the table is made by sqlx and not by a migration.
    Ok(sqlx::query_scalar("SELECT version FROM trunkline._sqlx_migrations WHERE success ORDER BY version")
        .fetch_all(connection)
        .await?)
}

async fn execute(connection: &mut PgConnection, sql: &'static str) -> Result<(), StoreError> {
    sqlx::raw_sql(sql).execute(connection).await?;
    Ok(())
}
