//! What every request works with.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use trunkline_boot::settings::ReceiverControl;
use trunkline_boot::{Clients, Clock};
use trunkline_store::Pool;
use trunkline_vault::OperatorKeys;

use crate::reception::Switches;
use crate::secrets::SecretCache;

/// Shared by all threads of one receiver.
pub(crate) struct State {
    /// Where receipts, switches and keys are kept.
    pub(crate) pool: Pool,
    /// The database's time.
    pub(crate) clock: Clock,
    /// Who calls, and who failed to log in too often.
    pub(crate) clients: Clients,
    /// Room for requests' bodies, in bytes.
    pub(crate) room: Arc<Semaphore>,
    /// For signatures that take long to verify.
    pub(crate) long_verifications: Semaphore,
    /// How long a request's body may take.
    pub(crate) body_timeout: Duration,
    /// Who may switch.
    pub(crate) control: ReceiverControl,
    /// The keys of those who run the installation.
    pub(crate) operators: OperatorKeys,
    /// Whether webhooks are accepted.
    pub(crate) switches: Switches,
    /// What webhooks may be signed with.
    pub(crate) secrets: SecretCache,
}
