//! Names to addresses, every one of them checked.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::address::AddressRefused;
use crate::{EgressPolicy, Lookup, LookupError};

/// Look-ups at one time, each some sockets. All that may be under way at endpoints of which nothing good is known (half of what a worker
/// does by default) find room, so that names that never resolve keep no others waiting.
const LOOKUPS_MAX: usize = 256;

/// Addresses used of one name; more are cut off after all were checked.
const ADDRESSES_MAX: usize = 16;

/// Hands out the addresses of a name only if all of them may be called: a name that answers with one private address
/// among public ones is not to be trusted with any.
pub struct GuardedResolver {
    policy: Arc<EgressPolicy>,
    lookup: Lookup,
    lookups: Semaphore,
}

/// Why a name gave no address to connect to.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// Nobody said whether it has any.
    #[error("the name {name} cannot be resolved: {source}")]
    Failed {
        /// What was asked for.
        name: String,
        /// Whose fault it is.
        source: LookupError,
    },
    /// There is no address under that name.
    #[error("the name {0} has no address")]
    NotFound(String),
    /// An address may not be called. Which it is, is nothing for whoever chose the name: they would learn what names mean inside.
    #[error(
        "the name {name} has an address that deliveries may not reach; what they may is up to the operator: egress.allow, egress.deny"
    )]
    Blocked {
        /// What was asked for.
        name: String,
        /// For the operator's eyes.
        refused: AddressRefused,
    },
}

impl GuardedResolver {
    /// A resolver under a policy, which asks `lookup`: outside tests, [`crate::system_lookup`].
    pub fn new(policy: Arc<EgressPolicy>, lookup: Lookup) -> Self {
        Self { policy, lookup, lookups: Semaphore::new(LOOKUPS_MAX) }
    }

    /// The addresses of a name, in the order they came. Whoever connects, connects to these: asking again could bring
    /// others, which nobody has checked.
    ///
    /// # Errors
    /// When the name cannot be resolved, or any of its addresses is refused.
    pub async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        let _turn = self.lookups.acquire().await;
        let found = (self.lookup)(name.to_owned()).await;
        let mut addresses = found.map_err(|source| ResolveError::Failed { name: name.to_owned(), source })?;
        for address in &addresses {
            let refuse = |refused| ResolveError::Blocked { name: name.to_owned(), refused };
            self.policy.check_address(*address).map_err(refuse)?;
        }
        if addresses.is_empty() {
            return Err(ResolveError::NotFound(name.to_owned()));
        }
        addresses.truncate(ADDRESSES_MAX);
        Ok(addresses)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::system_lookup;

    const PATIENCE: Duration = Duration::from_secs(5);

    async fn resolved(answers: &[&str]) -> Result<usize, ResolveError> {
        let addresses: Vec<IpAddr> = answers.iter().map(|address| address.parse().unwrap()).collect();
        let lookup: Lookup = Arc::new(move |_| {
            let addresses = addresses.clone();
            Box::pin(async move { Ok(addresses) })
        });
        let found = GuardedResolver::new(Arc::default(), lookup).resolve("example.com").await;
        found.map(|addresses| addresses.len())
    }

    #[tokio::test]
    async fn one_bad_answer_blocks_all() {
        assert_eq!(resolved(&["1.1.1.1", "2606:4700::1111"]).await.unwrap(), 2);
        let blocked = resolved(&["1.1.1.1", "10.0.0.1"]).await.unwrap_err();
        assert!(matches!(blocked, ResolveError::Blocked { .. }));
        assert!(
            !blocked.to_string().contains("10.0.0.1"),
            "its tenant would learn what names mean inside: {blocked}"
        );
        // Also where it comes after the last address that would be used.
        let mut many = vec!["1.1.1.1"; 40];
        assert_eq!(resolved(&many).await.unwrap(), ADDRESSES_MAX);
        many.push("127.0.0.1");
        assert!(matches!(resolved(&many).await, Err(ResolveError::Blocked { .. })));
        assert!(matches!(resolved(&[]).await, Err(ResolveError::NotFound(_))));
    }

    #[tokio::test]
    async fn a_name_of_this_machine_is_blocked_unless_allowed() {
        let guarded =
            GuardedResolver::new(Arc::default(), system_lookup(PATIENCE)).resolve("localhost").await;
        assert!(matches!(guarded, Err(ResolveError::Blocked { .. })), "{guarded:?}");
        let allow = ["127.0.0.0/8", "::1/128"].map(|network| network.parse().unwrap()).to_vec();
        let policy = Arc::new(EgressPolicy::new(allow, Vec::new()));
        assert!(
            !GuardedResolver::new(policy, system_lookup(PATIENCE))
                .resolve("localhost")
                .await
                .unwrap()
                .is_empty()
        );
    }
}
