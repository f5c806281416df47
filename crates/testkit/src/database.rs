use std::ops::DerefMut;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use sqlx::{Executor, Row};
use trunkline_boot::private_postgres::{Kind, Options, PrivatePostgres};
use trunkline_store::{Connection, Pool, Purpose, pool, schema};

/// Partitions made in each test's database: enough to be ready, few enough to be quick.
const PARTITIONS_AHEAD: i32 = 3;

/// What each line of the server's log starts with: SQLSTATE, database, application.
const LOG_PREFIX: &str = "%e %d %a: ";

/// What a test does by hand may fail: see [`TestDatabase::complaints`].
const BY_HAND: &str = "SET application_name = 'test'";

/// What doors call themselves.
const APPLICATION: &str = "trunkline";

/// The database that every test's is copied from.
const TEMPLATE: &str = "template_trunkline";

/// A migrated database of a test's own, on a server that this test program started and that ends with it.
pub struct TestDatabase {
    url: String,
    /// For looking and for small changes: making a connection costs ten times what most statements do.
    pool: Pool,
    /// Whether the test breaks the database on purpose.
    is_broken: AtomicBool,
}

impl TestDatabase {
    /// Makes one. The first call in a program starts the server, which takes a second or two.
    ///
    /// # Panics
    /// When PostgreSQL cannot be started.
    pub async fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        // Starting blocks; other tests of this program wait for the same server meanwhile.
        let server = tokio::task::spawn_blocking(|| SERVER.get_or_init(Server::start)).await.unwrap();
        let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let sql = format!("CREATE DATABASE {name} TEMPLATE {TEMPLATE} STRATEGY FILE_COPY");
        execute(&server.url_of("postgres"), &sql).await;
        Self::at(server.url_of(&name))
    }

    /// A database without the schema, as a DBA hands it over.
    ///
    /// # Panics
    /// When PostgreSQL cannot be started.
    pub async fn unmigrated() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let server = tokio::task::spawn_blocking(|| SERVER.get_or_init(Server::start)).await.unwrap();
        let name = format!("bare_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        execute(&server.url_of("postgres"), &format!("CREATE DATABASE {name} TEMPLATE template0")).await;
        Self::at(server.url_of(&name))
    }

    fn at(url: String) -> Self {
        let pool = pool::open(&url, Purpose::Maintenance, 5).unwrap();
        Self { url, pool, is_broken: AtomicBool::new(false) }
    }

    /// A connection of a small pool for looking and small changes.
    ///
    /// # Panics
    /// When the server is gone.
    pub async fn borrow(&self) -> impl DerefMut<Target = Connection> + use<> {
        let mut connection = Box::new(self.pool.acquire().await.unwrap());
        run(&mut connection, BY_HAND).await;
        connection
    }

    /// Its address, with user and password.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Connections as a door would have them.
    ///
    /// # Panics
    /// Never: the address is one.
    pub fn pool(&self, purpose: Purpose) -> Pool {
        pool::open(&self.url, purpose, 5).unwrap()
    }

    /// One connection for maintenance.
    ///
    /// # Panics
    /// When the server is gone.
    pub async fn connect(&self) -> Connection {
        let mut connection = pool::connect(&self.url, Purpose::Maintenance).await.unwrap();
        run(&mut connection, BY_HAND).await;
        connection
    }

    /// The first column of the first row of any SQL, as text; empty for NULL or no row.
    ///
    /// # Panics
    /// When the statement fails.
    pub async fn text(&self, sql: &str) -> String {
        text(&mut *self.borrow().await, sql).await
    }

    /// Like [`Self::text`] of a statement that may fail.
    ///
    /// # Errors
    /// What the server says.
    pub async fn try_text(&self, sql: &str) -> Result<String, String> {
        try_text(&mut *self.borrow().await, sql).await
    }

    /// What the server complained of to the doors under test: statements with values that it cannot take (SQLSTATE class 22), that
    /// are wrong or not allowed (42), or too complex (54). Each is input that should have been refused before.
    ///
    /// # Panics
    /// When the server's log cannot be read.
    pub fn complaints(&self) -> Vec<String> {
        let log = std::fs::read(SERVER.get().unwrap().postgres.folder().join("postgres.log")).unwrap();
        let database = format!(" {} {APPLICATION}: ERROR: ", self.url.rsplit('/').next().unwrap());
        let is_complaint = |line: &&str| {
            line.contains(&database) && ["22", "42", "54"].iter().any(|class| line.starts_with(class))
        };
        String::from_utf8_lossy(&log).lines().filter(is_complaint).map(str::to_owned).collect()
    }

    /// Like [`Self::execute`] of what makes statements of doors fail, such as dropping a table: complaints are no fault of theirs.
    ///
    /// # Panics
    /// When it fails.
    pub async fn break_by(&self, sql: &str) {
        self.expect_complaints();
        self.execute(sql).await;
    }

    /// Says that a door will be refused by the server, which is what is tried.
    pub fn expect_complaints(&self) {
        self.is_broken.store(true, Ordering::Relaxed);
    }

    /// Runs any SQL.
    ///
    /// # Panics
    /// When it fails.
    pub async fn execute(&self, sql: &str) {
        run(&mut *self.borrow().await, sql).await;
    }
}

impl Drop for TestDatabase {
    /// Whatever a test sends to a door, the database never sees a value that it cannot take.
    fn drop(&mut self) {
        let is_expected = self.is_broken.load(Ordering::Relaxed) || std::thread::panicking();
        if !is_expected && !self.url.rsplit('/').next().unwrap().starts_with("bare_") {
            let complaints = self.complaints();
            assert!(complaints.is_empty(), "the server complained of a door's statements: {complaints:#?}");
        }
    }
}

static SERVER: OnceLock<Server> = OnceLock::new();

/// The private server. It is never dropped: its guard stops it when this process is gone, however that happens.
struct Server {
    postgres: PrivatePostgres,
}

impl Server {
    fn start() -> Self {
        // A runtime of its own: the tests' runtimes come and go.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let options = Options {
                kind: Kind::Ephemeral,
                settings: vec![
                    ("max_connections".to_owned(), "300".to_owned()),
                    ("log_line_prefix".to_owned(), LOG_PREFIX.to_owned()),
                ],
                ..Options::default()
            };
            let server = Self { postgres: PrivatePostgres::start(options).await.unwrap() };
            execute(&server.url_of("postgres"), &format!("CREATE DATABASE {TEMPLATE}")).await;
            let mut connection = pool::connect(&server.url_of(TEMPLATE), Purpose::Maintenance).await.unwrap();
            schema::migrate(&mut connection, PARTITIONS_AHEAD, 1).await.unwrap();
            connection.close().await.unwrap();
            server
        })
    }

    fn url_of(&self, database: &str) -> String {
        let url = self.postgres.url();
        let (server, _) = url.rsplit_once('/').unwrap();
        format!("{server}/{database}")
    }
}

async fn execute(url: &str, sql: &str) {
    let mut connection = pool::connect(url, Purpose::Maintenance).await.unwrap();
    run(&mut connection, sql).await;
    connection.close().await.unwrap();
}

/// Runs any SQL on a connection of the test's own, which keeps an open transaction.
///
/// # Panics
/// When it fails.
pub async fn run(connection: &mut Connection, sql: &str) {
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(connection).await.unwrap();
}

/// The first column of the first row, as text; empty for NULL or no row.
///
/// # Panics
/// When it fails.
pub async fn text(connection: &mut Connection, sql: &str) -> String {
    try_text(connection, sql).await.unwrap()
}

/// Like [`text`], of a statement that may fail.
///
/// # Errors
/// What the server says.
pub async fn try_text(connection: &mut Connection, sql: &str) -> Result<String, String> {
    // Not where the transaction has failed; then it was said before.
    let _ = connection.execute(BY_HAND).await;
    let row = connection.fetch_optional(sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))).await;
    let value = |row: sqlx::postgres::PgRow| {
        row.try_get_raw(0).map(|value| value.as_str().unwrap_or_default().to_owned()).unwrap()
    };
    row.map(|row| row.map_or_else(String::new, value)).map_err(|error| error.to_string())
}
