//! Connections, and what each kind of work demands of its session.

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::citus::Shards;
use crate::connection::{Lender, Prologue};
use crate::lent::Lent;
use crate::roles::Role;
use crate::{Connection, StoreError, Transaction};

/// A bounded set of connections that share one purpose.
#[derive(Debug, Clone)]
pub struct Pool {
    connections: sqlx::PgPool,
    prologue: Option<Prologue>,
    patience: Option<Duration>,
    shards: Shards,
}

impl Pool {
    /// Takes a connection, which returns when it is dropped.
    ///
    /// # Errors
    /// When none is free, or the database is not available.
    pub async fn acquire(&self) -> Result<Connection, sqlx::Error> {
        let lent = Lent::by(&self.connections).await?;
        Ok(Connection::of_pool(lent, self.prologue.clone(), self.patience, self.shards.clone()))
    }

    /// The first connection, as a door opens, when nobody waits for an answer yet: it may take longer than those who do would wait. Dropped, it
    /// is ready for them.
    ///
    /// # Errors
    /// When the database is not available.
    pub async fn connect_first(&self) -> Result<Connection, StoreError> {
        let patient = async {
            loop {
                match self.acquire().await {
                    Err(sqlx::Error::PoolTimedOut) => {}
                    connected => break connected.map_err(StoreError::from),
                }
            }
        };
        within(FIRST_WAIT, patient).await
    }

    /// Opens a transaction on a connection of its own; it is rolled back unless it is committed.
    ///
    /// # Errors
    /// As [`Self::acquire`].
    pub async fn begin(&self) -> Result<Transaction<'static>, sqlx::Error> {
        Transaction::begin(Lender::Own(self.acquire().await?), None).await
    }

    /// The same, with SQL that goes along with BEGIN.
    pub(crate) async fn begin_with(&self, sql: &str) -> Result<Transaction<'static>, sqlx::Error> {
        Transaction::begin(Lender::Own(self.acquire().await?), Some(sql)).await
    }

    /// Waits for those who hold connections, and closes all.
    pub async fn close(&self) {
        self.connections.close().await;
    }
}

/// Where the database is: an address, and whether a transaction pooler answers there (`database.pooler`).
#[derive(Clone, Copy)]
pub struct Address<'a> {
    url: &'a str,
    is_pooled: bool,
    is_distributed: bool,
}

impl<'a> Address<'a> {
    /// `postgres://user:password@host:port/database`
    pub fn new(url: &'a str, is_pooled: bool) -> Self {
        Self { url, is_pooled, is_distributed: false }
    }

    /// The same, of a database whose tables are distributed or not ([`crate::citus::is_distributed`]). There each plan must know its
    /// parameters, or nobody could tell which shard it is for.
    #[must_use]
    pub fn distributed(self, is_distributed: bool) -> Self {
        Self { is_distributed, ..self }
    }

    /// How to connect for this purpose, and what takes the place of a session's settings where it cannot have any.
    fn options(
        self,
        purpose: Purpose,
        role: Option<Role>,
    ) -> Result<(PgConnectOptions, Option<Prologue>), InvalidUrl> {
        let options = PgConnectOptions::from_str(self.url).map_err(|_| InvalidUrl)?;
        let options = options.application_name("trunkline");
        // Statements are timed and counted by metrics; logging them could show a tenant's values.
        let options = sqlx::ConnectOptions::disable_statement_logging(options);
        let settings = purpose.session(self.is_distributed);
        let role = role.map(|role| ("role", role.name()));
        if !self.is_pooled {
            return Ok((options.options(settings.into_iter().chain(role)), None));
        }
        let settings = settings.into_iter().chain(role);
        let set: Vec<String> =
            settings.map(|(name, value)| format!("SET LOCAL {name} = '{value}'")).collect();
        let prologue = format!("BEGIN; {}", set.join("; "));
        // PgBouncer refuses what it does not keep track of; from PostgreSQL 12 on numbers are exact without it. Nothing is
        // prepared by name, so there is nothing to remember.
        Ok((options.extra_float_digits(None).statement_cache_capacity(0), Some(prologue.into())))
    }
}

/// A direct connection.
impl<'a, T: AsRef<str> + ?Sized> From<&'a T> for Address<'a> {
    fn from(url: &'a T) -> Self {
        Self::new(url.as_ref(), false)
    }
}

/// How long a caller waits for a free connection, and for a new one to be made.
const CONNECTION_WAIT: Duration = Duration::from_millis(500);

/// How long the first of a door is waited for.
const FIRST_WAIT: Duration = Duration::from_secs(3);

/// The same where nobody waits for an answer.
const MAINTENANCE_WAIT: Duration = Duration::from_secs(30);

/// What an answer may take beyond the statement itself.
const ANSWER_ON_ITS_WAY: Duration = Duration::from_secs(2);

/// A setting of every purpose, by which a door sees whether settings arrive ([`crate::schema::require_current`]).
pub(crate) const MARK: (&str, &str) = ("idle_in_transaction_session_timeout", "10s");

/// What keeps the engine's statements to the keys of an index.
pub(crate) const DETOURS: [(&str, &str); 6] = [
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_sort", "off"),
    // Statistics are always behind: a range of new ids looks like one row, and reading it for each of hundreds of keys like a bargain
    // (400 ms a statement, measured). An index entry that no key asked for is dear.
    ("cpu_index_tuple_cost", "10"),
];

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
    /// The worker's upkeep: 10 s, since giving up would only lose work already done.
    Engine,
    /// The worker's outcomes: like [`Self::Engine`], with plans that are kept.
    Record,
    /// The worker's looks and claims, and notifications, with plans that are kept. They commit without waiting for the disk: what a
    /// crash of the server can lose of a claim is a lease, and of a notification one poll; an outcome or an event never may.
    Claim,
    /// Migrations and maintenance: no limit of their own.
    Maintenance,
}

impl Purpose {
    fn session(self, is_distributed: bool) -> Vec<(&'static str, &'static str)> {
        let mut settings = Vec::new();
        if is_distributed {
            // First, so that those after it reach the nodes where they are set for a transaction: its tenant, above all.
            settings.push(("citus.propagate_set_commands", "local"));
        }
        settings.extend([
            MARK,
            ("synchronous_commit", if self == Self::Claim { "off" } else { "on" }),
            ("client_connection_check_interval", "1s"),
            // A client that was cut off silently takes no more rows; its transaction, and the locks, end with this.
            ("tcp_user_timeout", "5s"),
            ("timezone", "UTC"),
            // Compiling takes a hundred times as long as any statement here; the planner's guess of a cost sets it off.
            ("jit", "off"),
        ]);
        if self != Self::Maintenance {
            // The engine waits for nobody for long: one row that somebody holds must not keep many others waiting.
            settings.push((
                "lock_timeout",
                if matches!(self, Self::Engine | Self::Record) { "100ms" } else { "1s" },
            ));
            // Where history is read, a generic plan locks every partition at each execution, because it cannot prune
            // them by a parameter before (93 locks against 4, measured). Planning anew costs less. What the engine does again and
            // again has its days in its text instead (`days`): planning it anew took as long as running it (measured).
            let keeps_plans = matches!(self, Self::Ingest | Self::Claim | Self::Record) && !is_distributed;
            let plans = if keeps_plans { "force_generic_plan" } else { "force_custom_plan" };
            settings.push(("plan_cache_mode", plans));
        }
        if matches!(self, Self::Engine | Self::Record | Self::Claim) {
            // Everything the engine asks follows keys of an index into a few rows, in the index's order. The planner cannot
            // know that of a partition that was empty when it was last analysed: it would read all of it, or all of a lane.
            settings.extend(DETOURS);
        }
        if let Some((_, text)) = self.limit() {
            settings.push(("statement_timeout", text));
        }
        settings
    }

    /// What the server gives a statement, in seconds and in its own words.
    fn limit(self) -> Option<(u64, &'static str)> {
        match self {
            Self::Request | Self::Ingest => Some((1, "1s")),
            Self::Search => Some((5, "5s")),
            Self::Engine | Self::Record | Self::Claim => Some((10, "10s")),
            Self::Maintenance => None,
        }
    }

    /// How long an answer is waited for: longer than the server lets a statement take, so that its own word comes first.
    fn patience(self) -> Option<Duration> {
        self.limit().map(|(seconds, _)| Duration::from_secs(seconds) + ANSWER_ON_ITS_WAY)
    }
}

/// A database address that is none. The address is not repeated: it may hold a password.
#[derive(Debug, thiserror::Error)]
#[error("database.url is not a PostgreSQL address; write postgres://user:password@host:5432/database")]
pub struct InvalidUrl;

/// Gives up on the database after `limit`, for work of several statements, each of which ends by itself.
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

/// Prepares a pool whose connections act as the login of the address. Nothing is connected until the first use, so that a door can
/// start before its database.
///
/// # Errors
/// When its URL is no address.
pub fn open<'a>(
    address: impl Into<Address<'a>>,
    purpose: Purpose,
    connections_max: u32,
) -> Result<Pool, InvalidUrl> {
    pool(address.into(), None, purpose, connections_max)
}

/// Prepares a pool whose connections act in a role from the first, which the login must be a member of
/// ([`crate::schema::require_current`]).
///
/// # Errors
/// When its URL is no address.
pub fn open_as<'a>(
    address: impl Into<Address<'a>>,
    role: Role,
    purpose: Purpose,
    connections_max: u32,
) -> Result<Pool, InvalidUrl> {
    pool(address.into(), Some(role), purpose, connections_max)
}

fn pool(
    address: Address<'_>,
    role: Option<Role>,
    purpose: Purpose,
    connections_max: u32,
) -> Result<Pool, InvalidUrl> {
    let (options, prologue) = address.options(purpose, role)?;
    let connections = PgPoolOptions::new()
        .max_connections(connections_max.max(1))
        .acquire_timeout(if purpose == Purpose::Maintenance { MAINTENANCE_WAIT } else { CONNECTION_WAIT })
        // A connection that broke while idle is found when its first statement fails; asking before each use would
        // add a round trip to every one.
        .test_before_acquire(false)
        .idle_timeout(Duration::from_secs(300))
        .connect_lazy_with(options);
    Ok(Pool { connections, prologue, patience: purpose.patience(), shards: Shards::default() })
}

/// How many connections of a pool are in somebody's hands, how many wait, and how many there may be.
pub fn usage(pool: &Pool) -> (usize, usize, usize) {
    let pool = &pool.connections;
    let (open, idle) = (pool.size() as usize, pool.num_idle());
    (open.saturating_sub(idle), idle, pool.options().get_max_connections() as usize)
}

/// Makes one connection outside any pool.
///
/// # Errors
/// [`StoreError::Unavailable`] when the server does not answer, or the URL is no address; [`StoreError::Pooler`] when a pooler
/// answers that should have been named.
pub async fn connect<'a>(
    address: impl Into<Address<'a>>,
    purpose: Purpose,
) -> Result<Connection, StoreError> {
    let (options, prologue) = address.into().options(purpose, None).map_err(no_address)?;
    Ok(Connection::own(sqlx::ConnectOptions::connect(&options).await?, prologue, purpose.patience()))
}

/// How a worker's session connects: in its role, and with the server's settings for the rest, since it only waits. The server asks it
/// now and then whether it is there: its lock must not outlive it for hours because the network never said that it is gone.
pub(crate) fn worker_options(url: &str) -> Result<PgConnectOptions, StoreError> {
    let options = PgConnectOptions::from_str(url).map_err(|_| no_address(InvalidUrl))?;
    let options = sqlx::ConnectOptions::disable_statement_logging(options.application_name("trunkline"));
    Ok(options.options([
        ("role", Role::Worker.name()),
        ("tcp_keepalives_idle", "5"),
        ("tcp_keepalives_interval", "5"),
        ("tcp_keepalives_count", "2"),
        ("tcp_user_timeout", "10s"),
    ]))
}

fn no_address(error: InvalidUrl) -> StoreError {
    StoreError::Unavailable(sqlx::Error::Configuration(Box::new(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workers_session_is_asked_by_the_server_whether_it_is_there() {
        let options = worker_options("postgres://trunkline@localhost/trunkline").unwrap();
        let sent = options.get_options().unwrap();
        for option in ["role=trunkline_worker", "tcp_keepalives_idle=5", "tcp_user_timeout=10s"] {
            assert!(sent.contains(option), "{option} in {sent}");
        }
    }
}
