//! Whether webhooks are accepted: the switches of the table `receptions`, read through a short memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use moka::future::Cache;
use trunkline_domain::TenantId;
use trunkline_store::audit::{self, Action, Actor, Entry};
use trunkline_store::receiver::{self, Reception};
use trunkline_store::{Pool, StoreError};

/// How long a reading is used: another replica's switch is seen within this and the time of one query, well inside
/// the second that is promised.
const MEMORY: Duration = Duration::from_millis(250);

/// Tenants whose switch is remembered at a time.
const REMEMBERED_MAX: u64 = 10_000;

/// The switches. What this replica switches it obeys at once.
pub(crate) struct Switches {
    pool: Pool,
    /// By generation, so that a reading which began before a switch is never used after it.
    read: Cache<(u64, Option<TenantId>), Reception>,
    generation: AtomicU64,
}

impl Switches {
    pub(crate) fn new(pool: Pool) -> Self {
        Self {
            pool,
            read: Cache::builder().max_capacity(REMEMBERED_MAX).time_to_live(MEMORY).build(),
            generation: AtomicU64::new(0),
        }
    }

    /// How the switches stand for a tenant, or for all. Callers at one time share one query.
    ///
    /// # Errors
    /// When the database is not available.
    pub(crate) async fn read(&self, tenant_id: Option<&TenantId>) -> Result<Reception, Arc<StoreError>> {
        let generation = self.generation.load(Ordering::Acquire);
        let query = async {
            let mut connection = self.pool.acquire().await?;
            receiver::reception(&mut connection, tenant_id).await
        };
        self.read.try_get_with((generation, tenant_id.cloned()), query).await
    }

    /// Switches a tenant, or all at once, which leaves the tenants' own switches as they are, and writes down who did it.
    ///
    /// # Errors
    /// When the database is not available; then nothing is switched.
    pub(crate) async fn switch(
        &self,
        tenant_id: Option<&TenantId>,
        enabled: bool,
        actor: &Actor,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin().await?;
        match tenant_id {
            Some(tenant_id) => receiver::switch_tenant(&mut transaction, tenant_id, enabled, now).await?,
            None => receiver::switch_all(&mut transaction, enabled, now).await?,
        }
        let action = if enabled { Action::EnableReception } else { Action::DisableReception };
        let entry = Entry { actor, action, tenant_id, target: None, request_id: None };
        audit::record(&mut transaction, entry, now).await?;
        transaction.commit().await?;
        self.generation.fetch_add(1, Ordering::Release);
        Ok(())
    }
}
