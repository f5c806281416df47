//! What is sealed opens for its owner and purpose alone; what an API key is.
#![expect(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod api_keys;
mod headers;
mod keys;
mod secrets;
mod tokens;

use trunkline_domain::{EndpointId, TenantId};
use trunkline_vault::Vault;

/// A vault whose keys are their id's number repeated: the first seals.
fn vault(ids: &[u8]) -> Vault {
    let keys: Vec<_> = ids.iter().map(|id| (format!("k{id}"), [*id; 32])).collect();
    Vault::new(keys.iter().map(|(id, key)| (id.as_str(), key))).unwrap()
}

fn tenant(text: &str) -> TenantId {
    text.parse().unwrap()
}

/// One whose last digits are `last`.
fn endpoint(last: &str) -> EndpointId {
    format!("ep_0190163d8694739b8a3c01234567{last}").parse().unwrap()
}
