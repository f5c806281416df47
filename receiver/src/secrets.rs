//! What a tenant's webhooks may be signed with, through a short memory.

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use sha2::{Digest, Sha256};
use trunkline_boot::Clock;
use trunkline_domain::TenantId;
use trunkline_signing::Secret;
use trunkline_store::endpoints::{self, SealedSecret};
use trunkline_store::tenants::{self, TenantStatus};
use trunkline_store::{Pool, StoreError};
use trunkline_vault::{Sealed, Vault};

/// How long secrets are used without asking again: a secret that ends is refused within this time. One that begins is
/// not waited for, since a signature that fails makes them be read again.
const MEMORY: Duration = Duration::from_secs(1);

/// Tenants whose secrets are remembered at a time.
const REMEMBERED_MAX: u64 = 10_000;

/// Secrets that are opened without giving others a turn.
const OPENED_AT_A_TIME: usize = 16;

/// The secrets of one tenant, of all its endpoints: a receiver cannot know which of them called.
pub(crate) struct TenantSecrets {
    /// Valid when they were read.
    pub(crate) secrets: Vec<Secret>,
    /// Of all of them as they are stored: what has the same holds the same.
    fingerprint: [u8; 32],
    /// Whether a further one could not be opened: then a mismatch may be our fault and not the sender's.
    pub(crate) some_unreadable: bool,
}

/// Secrets, and whether they were read for this caller or before.
pub(crate) struct Found {
    pub(crate) secrets: Arc<TenantSecrets>,
    pub(crate) is_fresh: bool,
}

/// Why there are no secrets.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoSecrets {
    /// There is no such tenant, or it was deleted.
    #[error("the tenant is unknown")]
    UnknownTenant,
    /// The database did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

pub(crate) struct SecretCache {
    pool: Pool,
    clock: Clock,
    vault: Vault,
    /// Only of tenants that exist, so that a new one is known at once.
    read: Cache<TenantId, Arc<TenantSecrets>>,
}

impl SecretCache {
    pub(crate) fn new(pool: Pool, clock: Clock, vault: Vault) -> Self {
        let read = Cache::builder().max_capacity(REMEMBERED_MAX).time_to_live(MEMORY).build();
        Self { pool, clock, vault, read }
    }

    /// The secrets as they are or were at most a second ago. Callers at one time share one reading.
    ///
    /// # Errors
    /// When the tenant is unknown or the database is not available.
    pub(crate) async fn recent(&self, tenant_id: &TenantId) -> Result<Found, Arc<NoSecrets>> {
        let entry = self
            .read
            .entry_by_ref(tenant_id)
            .or_try_insert_with(async { self.load(tenant_id, None).await })
            .await?;
        Ok(Found { is_fresh: entry.is_fresh(), secrets: entry.into_value() })
    }

    /// The secrets as they are now, or `known` itself if nothing changed. Not shared with a reading under way, which may have begun
    /// too early.
    ///
    /// # Errors
    /// As [`SecretCache::recent`].
    pub(crate) async fn now(
        &self,
        tenant_id: &TenantId,
        known: &Arc<TenantSecrets>,
    ) -> Result<Arc<TenantSecrets>, Arc<NoSecrets>> {
        let secrets = self.load(tenant_id, Some(known)).await?;
        self.read.insert(tenant_id.clone(), Arc::clone(&secrets)).await;
        Ok(secrets)
    }

    async fn load(
        &self,
        tenant_id: &TenantId,
        known: Option<&Arc<TenantSecrets>>,
    ) -> Result<Arc<TenantSecrets>, NoSecrets> {
        let mut connection = self.pool.acquire().await.map_err(StoreError::from)?;
        let tenant = tenants::find(&mut connection, tenant_id).await?;
        if tenant.is_none_or(|tenant| tenant.status == TenantStatus::Deleted) {
            return Err(NoSecrets::UnknownTenant);
        }
        let sealed = endpoints::secrets_of_tenant(&mut connection, tenant_id, self.clock.now()).await?;
        drop(connection);
        let stored = sealed.len();
        let hash = sealed.iter().fold(Sha256::new(), |hash, one| hash.chain_update(&one.sealed));
        let fingerprint: [u8; 32] = hash.finalize().into();
        if let Some(known) = known.filter(|known| known.fingerprint == fingerprint) {
            return Ok(Arc::clone(known));
        }
        let mut secrets = Vec::with_capacity(stored);
        for (number, sealed) in sealed.into_iter().enumerate() {
            secrets.extend(self.open(tenant_id, sealed));
            if number % OPENED_AT_A_TIME == OPENED_AT_A_TIME - 1 {
                tokio::task::yield_now().await;
            }
        }
        Ok(Arc::new(TenantSecrets { fingerprint, some_unreadable: secrets.len() < stored, secrets }))
    }

    fn open(&self, tenant_id: &TenantId, stored: SealedSecret) -> Option<Secret> {
        let sealed = Sealed { key_id: stored.key_id, bytes: stored.sealed };
        let opened = self.vault.open_secret(tenant_id, stored.endpoint_id, &sealed).ok();
        let secret = opened.and_then(|plain| Secret::from_stored(std::str::from_utf8(&plain).ok()?).ok());
        if secret.is_none() {
            tracing::error!(
                tenant.id = %tenant_id,
                endpoint.id = %stored.endpoint_id,
                key.id = sealed.key_id,
                "a signing secret cannot be opened; is its key missing from secrets.keys?"
            );
        }
        secret
    }
}
