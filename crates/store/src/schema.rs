//! The schema's version: applied by `trunkline migrate`, checked by every door before it serves.

use std::time::Duration;

use sqlx::Row as _;
use sqlx::migrate::{MigrateError, Migration, Migrator};

use crate::pool::MARK;
use crate::roles::{self, Role};
use crate::{Connection, StoreError};

static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations");

/// How long a migration may wait for a lock. Whoever writes queues behind it, so it gives up before they notice.
const LOCK_WAIT: &str = "1s";

/// Between two tries to get a lock, so that those who queued get through.
const LOCK_PAUSE: Duration = Duration::from_secs(1);

/// For so long a migration tries: a nightly dump, or another migration, is over then.
const LOCK_TRIES: u32 = 300;

/// What a door finds in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaState {
    /// As this release needs it.
    Current,
    /// A newer release has migrated it and left in place what this one needs: the two run side by side.
    Newer {
        /// The last migration applied.
        found: i64,
    },
    /// Migrations of this release are missing; `found` is the last one applied, if any was.
    TooOld {
        /// The last migration applied.
        found: Option<i64>,
        /// The last migration of this release.
        needed: i64,
    },
    /// A newer release has taken away what this one needs.
    TooNew {
        /// The migration that did.
        found: i64,
        /// The last migration of this release.
        needed: i64,
    },
}

impl SchemaState {
    /// Whether this release can work on it.
    pub fn serves(self) -> bool {
        matches!(self, Self::Current | Self::Newer { .. })
    }

    fn require(self) -> Result<(), SchemaError> {
        match self {
            Self::Current | Self::Newer { .. } => Ok(()),
            Self::TooOld { found, needed } => Err(SchemaError::TooOld { found, needed }),
            Self::TooNew { found, needed } => Err(SchemaError::TooNew { found, needed }),
        }
    }
}

/// A migration as the database remembers it.
struct Applied {
    version: i64,
    /// The file's name without number and ending, with spaces: `create tenants`.
    description: String,
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
        "the database's schema is too new for this release (migration {found} took away what this release, which \
         knows up to {needed}, needs); run the release that migrated it, or a newer one"
    )]
    TooNew {
        /// The migration that took away what this release needs.
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
    /// Migrations lock out each other by a lock of their session, and change its settings.
    #[error(
        "a migration does not pass a transaction pooler: set database.session_url to the database itself"
    )]
    ThroughPooler,
    /// The database did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A migration failed; what it did was rolled back.
    #[error("a migration failed and was rolled back: {0}")]
    Migrate(#[from] MigrateError),
}

/// Applies what is missing, in order, each migration in a transaction of its own, gives the roles their rights, and makes partitions
/// ahead, so that a fresh database accepts events at once. Two at once: the second waits. Nobody who writes waits behind it for a
/// lock for longer than a second at a time. Returns the versions that were applied; none where a newer release has been here.
///
/// # Errors
/// When the database is too new for this release, a migration fails, or the server does not answer.
pub async fn migrate(
    connection: &mut Connection,
    ahead_days: i32,
    width_days: i32,
) -> Result<Vec<i64>, SchemaError> {
    if connection.direct().is_none() {
        return Err(SchemaError::ThroughPooler);
    }
    wait_for_turn(connection).await?;
    let applied = migrate_alone(connection, ahead_days, width_days).await;
    // Where the connection broke, the server has let go of it.
    let _freed = execute(connection, "SELECT pg_advisory_unlock(7310582653)").await;
    applied
}

/// Who waits for a lock in a statement holds up whoever makes an index beside writers, who waits for every statement that runs: the
/// two would wait for each other. So this one asks again and again.
async fn wait_for_turn(connection: &mut Connection) -> Result<(), StoreError> {
    // The number is arbitrary and used for nothing else.
    while !sqlx::query_scalar!(r#"SELECT pg_try_advisory_lock(7310582653) AS "is_ours!""#)
        .fetch_one(&mut *connection)
        .await?
    {
        tokio::time::sleep(LOCK_PAUSE).await;
    }
    Ok(())
}

async fn migrate_alone(
    connection: &mut Connection,
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
    match compare(&before) {
        SchemaState::TooNew { found, needed } => return Err(SchemaError::TooNew { found, needed }),
        // sqlx would refuse what it does not know, and rights are the newer release's to give.
        SchemaState::Newer { .. } => {}
        SchemaState::Current | SchemaState::TooOld { .. } => {
            for migration in missing(&before) {
                apply(connection, migration).await?;
            }
            // Nothing is left to apply: this compares the checksums of all.
            run_to(connection, i64::MAX).await?;
            roles::grant(connection).await?;
        }
    }
    make_partitions(connection, ahead_days, width_days).await?;
    let after = applied(connection).await?.into_iter().map(|migration| migration.version);
    Ok(after.filter(|version| before.iter().all(|migration| migration.version != *version)).collect())
}

/// Compares the database with this release.
///
/// # Errors
/// When the database is not available.
pub async fn state(connection: &mut Connection) -> Result<SchemaState, StoreError> {
    Ok(compare(&applied(connection).await?))
}

/// Lets a door go on only with a schema it can work on, its own or a newer one that left in place what it needs, and only if its
/// login may act in the door's roles.
///
/// # Errors
/// [`SchemaError::TooOld`], [`SchemaError::TooNew`], [`SchemaError::NotInRole`] or [`StoreError::Pooler`], which tell an operator what
/// to do.
pub async fn require_current(connection: &mut Connection, acts_as: &[Role]) -> Result<(), SchemaError> {
    require_settings(connection).await?;
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

/// A pooler may drop what a session begins with and say nothing of it. Without time limits one statement could hold up a door.
async fn require_settings(connection: &mut Connection) -> Result<(), StoreError> {
    let (name, value) = MARK;
    // Not prepared, since a pooler that nobody named may not carry that either.
    let row = sqlx::raw_sql(sqlx::AssertSqlSafe(format!("SHOW {name}"))).fetch_one(connection).await?;
    let found: String = row.try_get(0)?;
    if found == value {
        return Ok(());
    }
    Err(StoreError::Pooler(format!("{name} was set to {value} and is {found}")))
}

/// Where something of ours is missing, the schema is too old, whatever a newer release added.
fn compare(applied: &[Applied]) -> SchemaState {
    let needed = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0);
    let found = applied.iter().map(|migration| migration.version).max();
    let Some(found) = found.filter(|_| missing(applied).next().is_none()) else {
        return SchemaState::TooOld { found, needed };
    };
    let later = applied.iter().filter(|migration| migration.version > needed);
    let broke = later.filter(|migration| contracted_for(&migration.description) > Some(needed));
    match broke.map(|migration| migration.version).max() {
        Some(found) => SchemaState::TooNew { found, needed },
        None if found > needed => SchemaState::Newer { found },
        None => SchemaState::Current,
    }
}

fn missing(applied: &[Applied]) -> impl Iterator<Item = &'static Migration> {
    MIGRATIONS.iter().filter(|ours| applied.iter().all(|migration| migration.version != ours.version))
}

/// A migration that takes something away says in its name which releases can do without, by their last migration:
/// `20270301000100_contract_20270101000300_drop_old_column.sql`. The name is what every release finds in the database,
/// also one that was built long before.
fn contracted_for(description: &str) -> Option<i64> {
    let mut words = description.split(' ');
    (words.next() == Some("contract")).then(|| words.next()?.parse().ok()).flatten()
}

/// One that cannot have its locks at once is rolled back, and tried again when those who queued behind it are through.
async fn apply(connection: &mut Connection, migration: &Migration) -> Result<(), SchemaError> {
    // An index made beside writers waits for their transactions and blocks nobody; given up, it would stay, invalid.
    let wait = if migration.no_tx { "0" } else { LOCK_WAIT };
    sqlx::query("SELECT set_config('lock_timeout', $1, false)")
        .bind(wait)
        .execute(&mut *connection)
        .await
        .map_err(StoreError::from)?;
    run_to(connection, migration.version).await
}

async fn run_to(connection: &mut Connection, version: i64) -> Result<(), SchemaError> {
    let connection = connection.direct().ok_or(SchemaError::ThroughPooler)?;
    for _ in 1..LOCK_TRIES {
        match MIGRATIONS.run_to(version, &mut *connection).await {
            Err(error) if is_lock_wait(&error) => tokio::time::sleep(LOCK_PAUSE).await,
            ended => return Ok(ended?),
        }
    }
    Ok(MIGRATIONS.run_to(version, connection).await?)
}

/// Making a partition locks the table that it becomes part of.
async fn make_partitions(
    connection: &mut Connection,
    ahead_days: i32,
    width_days: i32,
) -> Result<(), StoreError> {
    for _ in 1..LOCK_TRIES {
        match crate::partitions::create_ahead(connection, ahead_days, width_days).await {
            Err(StoreError::Locked(_)) => tokio::time::sleep(LOCK_PAUSE).await,
            ended => return ended.map(drop),
        }
    }
    crate::partitions::create_ahead(connection, ahead_days, width_days).await.map(drop)
}

/// `lock_not_available` (PostgreSQL, appendix A): the migration was rolled back, or another one is under way.
fn is_lock_wait(error: &MigrateError) -> bool {
    let (MigrateError::Execute(cause) | MigrateError::ExecuteMigration(cause, _)) = error else {
        return false;
    };
    cause.as_database_error().is_some_and(|error| error.code().as_deref() == Some("55P03"))
}

async fn applied(connection: &mut Connection) -> Result<Vec<Applied>, StoreError> {
    let exists =
        sqlx::query_scalar!(r#"SELECT to_regclass('trunkline._sqlx_migrations') IS NOT NULL AS "exists!""#)
            .fetch_one(&mut *connection)
            .await?;
    if !exists {
        return Ok(Vec::new());
    }
    // Unchecked, because the table is made by sqlx and not by a migration.
    let rows: Vec<(i64, String)> = sqlx::query_as(
        "SELECT version, description FROM trunkline._sqlx_migrations WHERE success ORDER BY version",
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|(version, description)| Applied { version, description }).collect())
}

async fn execute(connection: &mut Connection, sql: &'static str) -> Result<(), StoreError> {
    sqlx::raw_sql(sql).execute(connection).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_for_whom_something_was_taken_away() {
        assert_eq!(contracted_for("contract 20261125000600 drop it"), Some(20_261_125_000_600));
        assert_eq!(contracted_for("add column"), None);
        assert_eq!(contracted_for("contract the column"), None);
    }

    /// Without the number every release before would serve on a schema that lacks what it needs.
    #[test]
    fn every_migration_that_contracts_names_one_that_exists_before_it() {
        for migration in MIGRATIONS.iter() {
            if !migration.description.starts_with("contract") {
                continue;
            }
            let since = contracted_for(&migration.description);
            let is_known =
                since.is_some_and(|since| since < migration.version && MIGRATIONS.version_exists(since));
            assert!(is_known, "{} {}", migration.version, migration.description);
        }
    }
}
