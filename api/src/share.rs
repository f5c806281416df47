//! What tenants share, and how much of it one tenant may have: none can take it from all.

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use trunkline_domain::TenantId;
use trunkline_store::{Pool, StoreError, Transaction, roles};

use crate::problem::Problem;

/// Exports that run at one time in one process: each holds about a megabyte, and a connection, for as long as its client reads.
const EXPORTS_MAX: usize = 32;

/// The same, of one tenant.
const EXPORTS_OF_TENANT_MAX: usize = 2;

/// How long a search waits for another of its tenant to end: as long as for a free connection.
const PATIENCE: Duration = Duration::from_millis(500);

/// The same number for each tenant.
pub(crate) struct Shares {
    each: usize,
    /// Those in use: a permit, and whoever waits for one, keeps its tenant's.
    tenants: Mutex<HashMap<TenantId, Weak<Semaphore>>>,
}

impl Shares {
    pub(crate) fn new(each: usize) -> Self {
        Self { each, tenants: Mutex::default() }
    }

    /// A tenant's share.
    pub(crate) fn of(&self, tenant_id: &TenantId) -> Arc<Semaphore> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = tenants.get(tenant_id).and_then(Weak::upgrade) {
            return share;
        }
        tenants.retain(|_, share| share.strong_count() > 0);
        let share = Arc::new(Semaphore::new(self.each));
        tenants.insert(tenant_id.clone(), Arc::downgrade(&share));
        share
    }
}

/// Room for exports.
pub(crate) struct Exports {
    all: Arc<Semaphore>,
    shares: Shares,
}

/// An export may run until this is dropped.
pub(crate) struct Exporting {
    _all: OwnedSemaphorePermit,
    _own: OwnedSemaphorePermit,
}

impl Exports {
    pub(crate) fn new() -> Self {
        Self { all: Arc::new(Semaphore::new(EXPORTS_MAX)), shares: Shares::new(EXPORTS_OF_TENANT_MAX) }
    }

    /// Takes room for one more.
    ///
    /// # Errors
    /// 429 when the tenant has its share, 503 when others have all there is.
    pub(crate) fn begin(&self, tenant_id: &TenantId) -> Result<Exporting, Problem> {
        let own = self.shares.of(tenant_id).try_acquire_owned();
        let own = own.map_err(|_| Problem::too_many_exports(EXPORTS_OF_TENANT_MAX))?;
        let all = Arc::clone(&self.all).try_acquire_owned().map_err(|_| Problem::exports_are_full())?;
        Ok(Exporting { _all: all, _own: own })
    }
}

/// Connections for pages over history, of which a tenant has half, rounded up.
pub(crate) struct Searches {
    pool: Pool,
    shares: Shares,
}

/// A transaction for one tenant, with its part of the tenant's share. Rolled back unless it is committed.
pub(crate) struct Searching {
    transaction: Transaction<'static>,
    _own: OwnedSemaphorePermit,
}

impl Searches {
    pub(crate) fn new(pool: Pool, connections: u32) -> Self {
        Self { pool, shares: Shares::new(connections.div_ceil(2) as usize) }
    }

    /// A transaction for a tenant.
    ///
    /// # Errors
    /// 429 while the tenant uses its share, 503 when the database is away or others use all there is.
    pub(crate) async fn begin(&self, tenant_id: &TenantId) -> Result<Searching, Problem> {
        let own = tokio::time::timeout(PATIENCE, self.shares.of(tenant_id).acquire_owned()).await;
        let own = own.ok().and_then(Result::ok).ok_or_else(Problem::too_many_searches)?;
        Ok(Searching { transaction: roles::for_tenant(&self.pool, tenant_id).await?, _own: own })
    }

    /// A transaction over all tenants.
    pub(crate) async fn begin_for_operator(&self) -> Result<Transaction<'static>, StoreError> {
        roles::for_operator(&self.pool).await
    }
}

impl Searching {
    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        Ok(self.transaction.commit().await?)
    }
}

impl Deref for Searching {
    type Target = Transaction<'static>;

    fn deref(&self) -> &Self::Target {
        &self.transaction
    }
}

impl DerefMut for Searching {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.transaction
    }
}

#[cfg(test)]
mod tests {
    use actix_web::ResponseError;
    use actix_web::http::header::RETRY_AFTER;

    use super::*;

    fn tenant(number: usize) -> TenantId {
        format!("tenant-{number}").parse().unwrap()
    }

    #[test]
    fn a_process_runs_32_exports_of_which_a_tenant_has_two() {
        let exports = Exports::new();
        let mut running: Vec<Exporting> = Vec::new();
        for number in 0..EXPORTS_MAX / EXPORTS_OF_TENANT_MAX {
            running.extend((0..EXPORTS_OF_TENANT_MAX).map(|_| exports.begin(&tenant(number)).unwrap()));
            let answer = exports.begin(&tenant(number)).err().unwrap().error_response();
            assert_eq!(answer.status(), 429);
            assert!(answer.headers().contains_key(RETRY_AFTER));
        }
        let answer = exports.begin(&tenant(99)).err().unwrap().error_response();
        assert_eq!(answer.status(), 503);
        assert!(answer.headers().contains_key(RETRY_AFTER));
        running.pop();
        assert!(exports.begin(&tenant(99)).is_ok(), "one that ends makes room");
    }

    #[test]
    fn nothing_is_kept_of_tenants_that_hold_nothing() {
        let shares = Shares::new(1);
        let held = shares.of(&tenant(0)).try_acquire_owned().unwrap();
        for number in 1..1_000 {
            drop(shares.of(&tenant(number)));
        }
        assert_eq!(shares.tenants.lock().unwrap().len(), 2);
        assert!(shares.of(&tenant(0)).try_acquire_owned().is_err(), "what is held is remembered");
        drop(held);
    }
}
