//! A connection lent by a pool, and its way back.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{PgPool, Postgres};

/// How long a connection may take to come back. sqlx asks the server once more for what is left of a statement that was given
/// up; one that was cut off without a word would keep its place in the pool for as long as TCP hopes, a quarter of an hour.
const RETURN_WAIT: Duration = Duration::from_secs(2);

/// Goes back to its pool when it is dropped, or is closed if it does not come back.
pub(crate) struct Lent {
    connection: PoolConnection<Postgres>,
    pool: PgPool,
    is_spent: bool,
}

impl Lent {
    pub(crate) async fn by(pool: &PgPool) -> Result<Self, sqlx::Error> {
        Ok(Self { connection: pool.acquire().await?, pool: pool.clone(), is_spent: false })
    }

    /// Nobody else may have it.
    pub(crate) fn close_on_drop(&mut self) {
        self.is_spent = true;
        self.connection.close_on_drop();
    }
}

impl Deref for Lent {
    type Target = PoolConnection<Postgres>;

    fn deref(&self) -> &Self::Target {
        &self.connection
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.connection
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if self.is_spent {
            return;
        }
        let (back, pool) = (self.connection.return_to_pool(), self.pool.clone());
        tokio::spawn(async move {
            if tokio::time::timeout(RETURN_WAIT, back).await.is_err() {
                // Those that are idle lead the same way; whoever took one next would wait as long.
                while let Some(idle) = pool.try_acquire() {
                    drop(idle.detach());
                }
            }
        });
    }
}
