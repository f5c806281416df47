//! Connections, and what each kind of work demands of its session.

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::StoreError;
use crate::roles::Role;

/// A bounded set of connections that share one purpose.
pub type Pool = sqlx::PgPool;

/// How long a caller waits for a free connection, and for a new one to be made.
const CONNECTION_WAIT: Duration = Duration::from_millis(500);

/// The same where nobody waits for an answer.
const MAINTENANCE_WAIT: Duration = Duration::from_secs(30);

/// What the connections are used for; it decides time limits and planner settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Point reads and small changes on behalf of a caller who waits: 1 s a statement.
    Request,
    /// The flushers of the api: 1 s a statement. Inserts name no partition before they run, so one plan serves for ever:
    /// planning anew costs 0.3 ms a statement, which is ten times what a small batch takes (measured).
    Ingest,
    /// Pages, filters and counts over history: 5 s a statement.
    Search,
    /// The worker's outcomes and upkeep: 10 s, since giving up would only lose work already done.
    Engine,
    /// The worker's looks and claims, and notifications. They commit without waiting for the disk: what a crash of the
    /// server can lose of a claim is a lease, and of a notification one poll; an outcome or an event never may.
    Claim,
    /// Migrations and maintenance: no limit of their own.
    Maintenance,
}

impl Purpose {
    fn session(self) -> Vec<(&'static str, &'static str)> {
        let mut settings = vec![
            ("synchronous_commit", if self == Self::Claim { "off" } else { "on" }),
            ("idle_in_transaction_session_timeout", "10s"),
            ("client_connection_check_interval", "1s"),
            // A client that was cut off silently takes no more rows; its transaction, and the locks, end with this.
            ("tcp_user_timeout", "5s"),
            ("timezone", "UTC"),
            // Compiling takes a hundred times as long as any statement here; the planner's guess of a cost sets it off.
            ("jit", "off"),
        ];
        if self != Self::Maintenance {
            // The engine waits for nobody for long: one row that somebody holds must not keep many others waiting.
            settings.push(("lock_timeout", if self == Self::Engine { "100ms" } else { "1s" }));
            // Where history is read, a generic plan locks every partition at each execution, because it cannot prune
            // them by a parameter before (93 locks against 4, measured). Planning anew costs less.
            let plans = if self == Self::Ingest { "force_generic_plan" } else { "force_custom_plan" };
            settings.push(("plan_cache_mode", plans));
        }
        if matches!(self, Self::Engine | Self::Claim) {
            // Everything the engine asks follows keys of an index into a few rows, in the index's order. The planner cannot
            // know that of a partition that was empty when it was last analysed: it would read all of it, or all of a lane.
            let detours =
                ["enable_hashjoin", "enable_mergejoin", "enable_seqscan", "enable_bitmapscan", "enable_sort"];
            settings.extend(detours.map(|detour| (detour, "off")));
            // Statistics are always behind: a range of new ids looks like one row, and reading it for each of hundreds of
            // keys like a bargain (400 ms a statement, measured). An index entry that no key asked for is dear.
            settings.push(("cpu_index_tuple_cost", "10"));
        }
        match self {
            Self::Request | Self::Ingest => settings.push(("statement_timeout", "1s")),
            Self::Search => settings.push(("statement_timeout", "5s")),
            Self::Engine | Self::Claim => settings.push(("statement_timeout", "10s")),
            Self::Maintenance => {}
        }
        settings
    }
}

/// A database address that is none. The address is not repeated: it may hold a password.
#[derive(Debug, thiserror::Error)]
#[error("database.url is not a PostgreSQL address; write postgres://user:password@host:5432/database")]
pub struct InvalidUrl;

/// Gives up on the database after `limit`. Its own time limits end a statement, but one that was cut off without a word
/// would never say so, and whoever waits for it would wait for ever.
///
/// # Errors
/// [`StoreError::Unavailable`] when the time is over; whether the work was done is not known then.
pub async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let late = || StoreError::Unavailable(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()));
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(late()))
}

/// Prepares a pool whose connections act as the login of `url`. Nothing is connected until the first use, so that a door can
/// start before its database.
///
/// # Errors
/// When `url` is no address.
pub fn open(url: &str, purpose: Purpose, connections_max: u32) -> Result<Pool, InvalidUrl> {
    Ok(pool(options(url, purpose)?, purpose, connections_max))
}

/// Prepares a pool whose connections act in a role from the first, which the login must be a member of
/// ([`crate::schema::require_current`]). Behind a transaction pooler, which drops what a session begins with, they act as the
/// login, which inherits the role's rights.
///
/// # Errors
/// When `url` is no address.
pub fn open_as(url: &str, role: Role, purpose: Purpose, connections_max: u32) -> Result<Pool, InvalidUrl> {
    let options = options(url, purpose)?.options([("role", role.name())]);
    Ok(pool(options, purpose, connections_max))
}

fn pool(options: PgConnectOptions, purpose: Purpose, connections_max: u32) -> Pool {
    PgPoolOptions::new()
        .max_connections(connections_max.max(1))
        .acquire_timeout(if purpose == Purpose::Maintenance { MAINTENANCE_WAIT } else { CONNECTION_WAIT })
        // A connection that broke while idle is found when its first statement fails; asking before each use would
        // add a round trip to every one.
        .test_before_acquire(false)
        .idle_timeout(Duration::from_secs(300))
        .connect_lazy_with(options)
}

/// How many connections of a pool are in somebody's hands, how many wait, and how many there may be.
pub fn usage(pool: &Pool) -> (usize, usize, usize) {
    let (open, idle) = (pool.size() as usize, pool.num_idle());
    (open.saturating_sub(idle), idle, pool.options().get_max_connections() as usize)
}

/// Makes one connection outside any pool.
///
/// # Errors
/// [`StoreError::Unavailable`] when the server does not answer, or `url` is no address.
pub async fn connect(url: &str, purpose: Purpose) -> Result<sqlx::PgConnection, StoreError> {
    let options = options(url, purpose).map_err(no_address)?;
    Ok(sqlx::ConnectOptions::connect(&options).await?)
}

/// How a worker's session connects: in its role, and with the server's settings for the rest, since it only waits.
pub(crate) fn worker_options(url: &str) -> Result<PgConnectOptions, StoreError> {
    let options = PgConnectOptions::from_str(url).map_err(|_| no_address(InvalidUrl))?;
    Ok(options.application_name("trunkline").options([("role", Role::Worker.name())]))
}

fn no_address(error: InvalidUrl) -> StoreError {
    StoreError::Unavailable(sqlx::Error::Configuration(Box::new(error)))
}

fn options(url: &str, purpose: Purpose) -> Result<PgConnectOptions, InvalidUrl> {
    let options = PgConnectOptions::from_str(url).map_err(|_| InvalidUrl)?;
    let options = options.application_name("trunkline").options(purpose.session());
    // Statements are timed and counted by metrics; logging them could show a tenant's values.
    Ok(sqlx::ConnectOptions::disable_statement_logging(options))
}
