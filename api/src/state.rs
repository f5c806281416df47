//! What every request works with.

use std::time::Duration;

use trunkline_boot::settings::Signup;
use trunkline_boot::{Clients, Clock};
use trunkline_domain::TenantId;
use trunkline_egress::EgressPolicy;
use trunkline_store::{Pool, StoreError, Transaction, roles};
use trunkline_vault::{OperatorKeys, Vault};

use crate::auth::KeyCache;
use crate::body::Room;
use crate::ingest::Ingest;
use crate::problem::Problem;
use crate::rate::Rates;
use crate::schemas::Schemas;
use crate::share::{Exports, Searches, Searching};
use crate::waker::Waker;

/// Shared by all threads of one api.
pub(crate) struct State {
    /// For point reads and small changes. Take a transaction with [`Self::for_tenant`]: as it stands, a connection sees no tenant.
    pub(crate) pool: Pool,
    /// For pages over history; the same goes for it.
    pub(crate) searches: Searches,
    /// The database's time.
    pub(crate) clock: Clock,
    /// Seals secrets and page tokens.
    pub(crate) vault: Vault,
    /// Which target URLs are accepted.
    pub(crate) egress: EgressPolicy,
    /// Who may create tenants.
    pub(crate) signup: Signup,
    /// The keys of those who run the installation.
    pub(crate) operators: OperatorKeys,
    /// The keys of tenants, as seen lately.
    pub(crate) keys: KeyCache,
    /// Who calls, and who failed to log in too often.
    pub(crate) clients: Clients,
    /// Room for requests' bodies.
    pub(crate) room: Room,
    /// How long a request's body may take.
    pub(crate) body_timeout: Duration,
    /// How many events a tenant may publish.
    pub(crate) rates: Rates,
    /// Room for exports.
    pub(crate) exports: Exports,
    /// What payloads must fit.
    pub(crate) schemas: Schemas,
    /// The way of an event into the database.
    pub(crate) ingest: Ingest,
    /// Wakes the workers.
    pub(crate) waker: Waker,
    /// The longest deadline of an attempt that an endpoint may have of its own.
    pub(crate) attempt_timeout_max: Duration,
    /// The largest payload, in bytes.
    pub(crate) payload_bytes_max: usize,
}

/// Row security shows it one tenant's rows, or, for an operator, all. Rolled back unless it is committed.
type Scoped = Transaction<'static>;

impl State {
    /// A transaction for a tenant: for point reads and small changes.
    pub(crate) async fn for_tenant(&self, tenant_id: &TenantId) -> Result<Scoped, StoreError> {
        roles::for_tenant(&self.pool, tenant_id).await
    }

    /// A transaction for a tenant: for pages over history, and for what changes many rows.
    pub(crate) async fn search_for_tenant(&self, tenant_id: &TenantId) -> Result<Searching, Problem> {
        self.searches.begin(tenant_id).await
    }

    /// A transaction over all tenants.
    pub(crate) async fn for_operator(&self) -> Result<Scoped, StoreError> {
        roles::for_operator(&self.pool).await
    }

    /// A transaction over all tenants that may take longer.
    pub(crate) async fn search_for_operator(&self) -> Result<Scoped, StoreError> {
        self.searches.begin_for_operator().await
    }
}
