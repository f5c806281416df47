//! What is sealed opens for its owner and purpose alone; what an API key is.
#![expect(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod api_keys;
mod keys;
mod secrets;
mod tokens;

use trunkline_vault::Vault;

/// A vault whose keys are their id's number repeated: the first seals.
fn vault(ids: &[u8]) -> Vault {
    Vault::new(ids.iter().map(|id| (format!("k{id}"), [*id; 32])).collect()).unwrap()
}
