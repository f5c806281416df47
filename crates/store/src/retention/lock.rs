use crate::{Pool, StoreError, Transaction};

/// The key of the lock; the number is arbitrary and used for nothing else.
const KEY: i64 = 7_310_582_651;

/// The right to end history, of which there is one over all replicas. It lasts until it is dropped.
pub struct Turn(#[expect(dead_code, reason = "its end is what frees the lock")] Transaction<'static>);

impl Turn {
    /// Takes it, unless another has it. A lock of a transaction, and not of a session, because a transaction pooler passes that on;
    /// the transaction holds no snapshot and no table.
    ///
    /// # Errors
    /// When the database is not available.
    pub async fn take(pool: &Pool) -> Result<Option<Self>, StoreError> {
        let mut transaction = pool.begin().await?;
        // By its name those who look for forgotten transactions know this one.
        sqlx::query!(
            "SELECT set_config('idle_in_transaction_session_timeout', '0', true) AS timeout, set_config('application_name', 'trunkline retention', true) AS name"
        )
        .fetch_one(&mut *transaction)
        .await?;
        let taken = sqlx::query_scalar!(r#"SELECT pg_try_advisory_xact_lock($1) AS "taken!""#, KEY)
            .fetch_one(&mut *transaction)
            .await?;
        Ok(taken.then_some(Self(transaction)))
    }

    /// Whether this login may take turns: only the owner of the tables can drop partitions.
    ///
    /// # Errors
    /// When the database is not available.
    pub async fn is_ours(pool: &Pool) -> Result<bool, StoreError> {
        let mut connection = pool.acquire().await?;
        Ok(sqlx::query_scalar!(
            r#"
            SELECT pg_has_role(relowner, 'USAGE') AS "is_ours!"
            FROM pg_class
            WHERE relnamespace = 'trunkline'::regnamespace AND relname = 'events'
            "#
        )
        .fetch_one(&mut connection)
        .await?)
    }
}
