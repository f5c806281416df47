//! What every request works with.

use std::time::Duration;

use trunkline_boot::Clock;
use trunkline_boot::settings::Signup;
use trunkline_egress::EgressPolicy;
use trunkline_store::Pool;
use trunkline_vault::{OperatorKeys, Vault};

use crate::auth::KeyCache;
use crate::ingest::Ingest;
use crate::rate::Rates;
use crate::schemas::Schemas;
use crate::waker::Waker;

/// Shared by all threads of one api.
pub(crate) struct State {
    /// For point reads and small changes.
    pub(crate) pool: Pool,
    /// For pages over history.
    pub(crate) search_pool: Pool,
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
    /// How many events a tenant may publish.
    pub(crate) rates: Rates,
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
