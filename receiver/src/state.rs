//! What every request works with.

use trunkline_boot::Clock;
use trunkline_boot::settings::ReceiverControl;
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
    /// Who may switch.
    pub(crate) control: ReceiverControl,
    /// The keys of those who run the installation.
    pub(crate) operators: OperatorKeys,
    /// Whether webhooks are accepted.
    pub(crate) switches: Switches,
    /// What webhooks may be signed with.
    pub(crate) secrets: SecretCache,
}
