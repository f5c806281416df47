//! A connection and its transactions: direct, or through a transaction pooler (PgBouncer in transaction mode), which lends the server's
//! connection for one transaction at a time. This is the only place that knows of poolers; statements and their callers do not.
//!
//! Nothing of a session passes such a pooler: neither settings, nor a role, nor statements prepared by name. So every transaction
//! begins with settings and role, one message for all of them, and a statement outside of a transaction gets one of its own. Statements
//! have no name: they are prepared and run in two steps, which the transaction keeps on one connection of the server.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt as _, TryFutureExt as _, TryStreamExt as _};
use sqlx::error::BoxDynError;
use sqlx::postgres::{
    PgArguments, PgConnection, PgQueryResult, PgRow, PgStatement, PgTransactionManager, PgTypeInfo,
};
use sqlx::{
    AssertSqlSafe, Connection as _, Describe, Either, Error, Execute, Executor, Postgres, SqlSafeStr as _,
    SqlStr,
};
use sqlx_core::transaction::TransactionManager as _;

use crate::citus::Shards;
use crate::lent::Lent;

/// A connection to the database, of a pool to which it returns or by itself.
pub struct Connection {
    held: Held,
    /// What every transaction begins with, because the session does not; `None`: the connection is direct.
    prologue: Option<Prologue>,
    /// How long an answer is waited for.
    patience: Option<Duration>,
    /// Nobody knows whether it is in a transaction: one was begun, and the answer did not come.
    is_unclear: bool,
    shards: Shards,
}

/// `BEGIN`, and the settings and the role of a purpose.
pub(crate) type Prologue = Arc<str>;

enum Held {
    OfPool(Lent),
    Own(PgConnection),
}

impl Connection {
    pub(crate) fn of_pool(
        connection: Lent,
        prologue: Option<Prologue>,
        patience: Option<Duration>,
        shards: Shards,
    ) -> Self {
        Self { held: Held::OfPool(connection), prologue, patience, is_unclear: false, shards }
    }

    pub(crate) fn own(
        connection: PgConnection,
        prologue: Option<Prologue>,
        patience: Option<Duration>,
    ) -> Self {
        let shards = Shards::default();
        Self { held: Held::Own(connection), prologue, patience, is_unclear: false, shards }
    }

    pub(crate) fn shards(&self) -> &Shards {
        &self.shards
    }

    /// Opens a transaction; it is rolled back unless it is committed.
    ///
    /// # Errors
    /// When the database is not available.
    pub async fn begin(&mut self) -> Result<Transaction<'_>, Error> {
        Transaction::begin(Lender::Lent(self), None).await
    }

    /// Takes leave of the server.
    ///
    /// # Errors
    /// When the connection is broken.
    pub async fn close(self) -> Result<(), Error> {
        match self.held {
            Held::OfPool(mut connection) => {
                connection.close_on_drop();
                Ok(())
            }
            Held::Own(connection) => connection.close().await,
        }
    }

    /// Runs statements that must not be in a transaction, as the login and with the server's settings.
    ///
    /// # Errors
    /// When the database is not available, or refuses them.
    pub(crate) async fn execute_alone(&mut self, sql: String) -> Result<(), Error> {
        self.clear().await?;
        // As one message without parameters, for which a pooler lends one connection.
        self.raw().execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.map(drop)
    }

    /// What sqlx's own tools work on; `None` where it is pooled, which they do not know of.
    pub(crate) fn direct(&mut self) -> Option<&mut PgConnection> {
        self.prologue.is_none().then(|| self.raw())
    }

    fn raw(&mut self) -> &mut PgConnection {
        match &mut self.held {
            Held::OfPool(connection) => connection,
            Held::Own(connection) => connection,
        }
    }

    fn is_in_transaction(&mut self) -> bool {
        self.raw().is_in_transaction()
    }

    /// Whether statements can be left to sqlx as they are.
    fn is_plain(&self) -> bool {
        self.prologue.is_none() && !self.is_unclear
    }

    /// Begins a transaction, or a savepoint in one. `more` is SQL that goes with it, in the same message.
    async fn start(&mut self, more: Option<&str>) -> Result<(), Error> {
        if self.is_in_transaction() {
            return PgTransactionManager::begin(self.raw(), None).await;
        }
        let sql = match (&self.prologue, more) {
            (None, None) => None,
            (None, Some(more)) => Some(AssertSqlSafe(format!("BEGIN; {more}")).into_sql_str()),
            (Some(prologue), None) => Some(AssertSqlSafe(prologue.clone()).into_sql_str()),
            (Some(prologue), Some(more)) => Some(AssertSqlSafe(format!("{prologue}; {more}")).into_sql_str()),
        };
        self.clear().await?;
        let beginning = Beginning { connection: self, has_begun: false };
        PgTransactionManager::begin(beginning.connection.raw(), sql).await?;
        beginning.has_begun();
        Ok(())
    }

    /// Ends what an unclear beginning may have left open.
    async fn clear(&mut self) -> Result<(), Error> {
        if self.is_unclear {
            self.raw().execute("ROLLBACK").await?;
            self.is_unclear = false;
        }
        Ok(())
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Connection").field("pooled", &self.prologue.is_some()).finish()
    }
}

/// Between BEGIN and its answer. Given up in between, or refused by one of the settings that go with it, it may leave a transaction
/// open that sqlx knows nothing of, and into which the next user of the connection would write without a COMMIT.
struct Beginning<'a> {
    connection: &'a mut Connection,
    has_begun: bool,
}

impl Beginning<'_> {
    fn has_begun(mut self) {
        self.has_begun = true;
    }
}

impl Drop for Beginning<'_> {
    fn drop(&mut self) {
        if !self.has_begun {
            self.connection.is_unclear = true;
            if let Held::OfPool(connection) = &mut self.connection.held {
                connection.close_on_drop();
            }
        }
    }
}

/// A transaction, or a savepoint in one. It is rolled back when it is dropped without a commit.
#[derive(Debug)]
pub struct Transaction<'c> {
    lender: Lender<'c>,
    is_open: bool,
}

#[derive(Debug)]
pub(crate) enum Lender<'c> {
    Lent(&'c mut Connection),
    Own(Connection),
}

impl<'c> Transaction<'c> {
    pub(crate) async fn begin(lender: Lender<'c>, more: Option<&str>) -> Result<Self, Error> {
        let mut transaction = Self { lender, is_open: false };
        let patience = transaction.patience;
        answered(patience, transaction.start(more)).await?;
        transaction.is_open = true;
        Ok(transaction)
    }

    /// Makes what was done last.
    ///
    /// # Errors
    /// When the database is not available; it is not known then whether it lasts.
    pub async fn commit(mut self) -> Result<(), Error> {
        answered(self.patience, PgTransactionManager::commit(self.raw())).await?;
        self.is_open = false;
        Ok(())
    }

    /// Undoes what was done, and waits until it is undone.
    ///
    /// # Errors
    /// When the database is not available.
    pub async fn rollback(mut self) -> Result<(), Error> {
        answered(self.patience, PgTransactionManager::rollback(self.raw())).await?;
        self.is_open = false;
        Ok(())
    }

    /// Commits after a success, rolls back after a failure: what a statement has for itself.
    async fn end<T>(self, result: Result<T, Error>) -> Result<T, Error> {
        match result {
            Ok(done) => self.commit().await.map(|()| done),
            Err(error) => {
                // What went wrong first is told; a connection that cannot even roll back says so when it is used again.
                let _undone = self.rollback().await;
                Err(error)
            }
        }
    }
}

impl Deref for Transaction<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        match &self.lender {
            Lender::Lent(connection) => connection,
            Lender::Own(connection) => connection,
        }
    }
}

impl DerefMut for Transaction<'_> {
    fn deref_mut(&mut self) -> &mut Connection {
        match &mut self.lender {
            Lender::Lent(connection) => connection,
            Lender::Own(connection) => connection,
        }
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if self.is_open {
            // Goes out before the next statement, or before the pool lends the connection again.
            PgTransactionManager::start_rollback(self.raw());
        }
    }
}

impl<'c> Executor<'c> for &'c mut Connection {
    type Database = Postgres;

    /// Outside of a transaction and pooled, what is found is held whole, and handed out once it is committed.
    fn fetch_many<'e, 'q, E>(self, query: E) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, Error>>
    where
        'c: 'e,
        E: Execute<'q, Postgres>,
        'q: 'e,
        E: 'q,
    {
        let patience = self.patience;
        if self.is_plain() {
            return all_answered(patience, self.raw().fetch_many(query));
        }
        if self.is_in_transaction() {
            return all_answered(patience, self.raw().fetch_many(Unnamed(query)));
        }
        let whole = async move {
            let mut transaction = self.begin().await?;
            let found = transaction.raw().fetch_many(Unnamed(query)).try_collect::<Vec<_>>().await;
            transaction.end(found).await.map(|found| stream::iter(found).map(Ok))
        };
        answered(patience, whole).try_flatten_stream().boxed()
    }

    fn fetch_optional<'e, 'q, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        'c: 'e,
        E: Execute<'q, Postgres>,
        'q: 'e,
        E: 'q,
    {
        let patience = self.patience;
        if self.is_plain() {
            return Box::pin(answered(patience, self.raw().fetch_optional(query)));
        }
        if self.is_in_transaction() {
            return Box::pin(answered(patience, self.raw().fetch_optional(Unnamed(query))));
        }
        Box::pin(answered(patience, async move {
            let mut transaction = self.begin().await?;
            let found = transaction.raw().fetch_optional(Unnamed(query)).await;
            transaction.end(found).await
        }))
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, Error>>
    where
        'c: 'e,
    {
        self.raw().prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, Error>>
    where
        'c: 'e,
    {
        self.raw().describe(sql)
    }
}

/// What comes of `work`, unless it takes longer: the server ends every statement in time, but one that was cut off without a word would
/// never say so. A connection that did not answer does not come back to its pool ([`Lent`]).
async fn answered<T>(
    patience: Option<Duration>,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let Some(patience) = patience else { return work.await };
    tokio::time::timeout(patience, work).await.unwrap_or_else(|_| Err(late()))
}

/// The same of each row.
fn all_answered<'e, T: Send + 'e>(
    patience: Option<Duration>,
    rows: BoxStream<'e, Result<T, Error>>,
) -> BoxStream<'e, Result<T, Error>> {
    let Some(patience) = patience else { return rows };
    let next = move |rows: Option<BoxStream<'e, Result<T, Error>>>| async move {
        let mut rows = rows?;
        match tokio::time::timeout(patience, rows.next()).await {
            Ok(row) => row.map(|row| (row, Some(rows))),
            Err(_) => Some((Err(late()), None)),
        }
    };
    stream::unfold(Some(rows), next).boxed()
}

fn late() -> Error {
    Error::Io(io::ErrorKind::TimedOut.into())
}

/// A statement that is prepared without a name, and so leaves nothing behind in a session.
struct Unnamed<E>(E);

impl<'q, E: Execute<'q, Postgres>> Execute<'q, Postgres> for Unnamed<E> {
    fn sql(self) -> SqlStr {
        self.0.sql()
    }

    fn statement(&self) -> Option<&PgStatement> {
        self.0.statement()
    }

    fn take_arguments(&mut self) -> Result<Option<PgArguments>, BoxDynError> {
        self.0.take_arguments()
    }

    fn persistent(&self) -> bool {
        false
    }
}
