//! Names to addresses, every one of them checked.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::EgressPolicy;
use crate::address::AddressRefused;

/// Look-ups at one time: each blocks a thread of the system resolver.
const LOOKUPS_MAX: usize = 64;

/// Addresses used of one name; more are cut off after all were checked.
const ADDRESSES_MAX: usize = 16;

/// Asks the system's resolver, and hands out addresses only if all of them may be called: a name that answers with one
/// private address among public ones is not to be trusted with any.
#[derive(Debug)]
pub struct GuardedResolver {
    policy: Arc<EgressPolicy>,
    lookups: Semaphore,
}

/// Why a name gave no address to connect to.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The resolver did not answer with an address.
    #[error("the name {name} cannot be resolved: {source}")]
    Failed {
        /// What was asked for.
        name: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// There is no address under that name.
    #[error("the name {0} has no address")]
    NotFound(String),
    /// An address may not be called.
    #[error(transparent)]
    Blocked(#[from] AddressRefused),
}

impl GuardedResolver {
    /// A resolver under a policy.
    pub fn new(policy: Arc<EgressPolicy>) -> Self {
        Self { policy, lookups: Semaphore::new(LOOKUPS_MAX) }
    }

    /// The addresses of a name, in the order the system prefers. Their port is 0: the caller knows it.
    ///
    /// # Errors
    /// When the name cannot be resolved, or any of its addresses is refused.
    pub async fn resolve(&self, name: &str) -> Result<Vec<SocketAddr>, ResolveError> {
        let _turn = self.lookups.acquire().await;
        let found = tokio::net::lookup_host((name, 0))
            .await
            .map_err(|source| ResolveError::Failed { name: name.to_owned(), source })?;
        self.check(name, found)
    }

    fn check(
        &self,
        name: &str,
        found: impl Iterator<Item = SocketAddr>,
    ) -> Result<Vec<SocketAddr>, ResolveError> {
        let mut addresses: Vec<_> = found.collect();
        for address in &addresses {
            self.policy.check_address(address.ip())?;
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
    use super::*;

    fn checked(answers: &[&str]) -> Result<usize, ResolveError> {
        let resolver = GuardedResolver::new(Arc::default());
        let addresses = answers.iter().map(|address| SocketAddr::new(address.parse().unwrap(), 0));
        resolver.check("example.com", addresses).map(|addresses| addresses.len())
    }

    #[test]
    fn one_bad_answer_blocks_all() {
        assert_eq!(checked(&["1.1.1.1", "2606:4700::1111"]).unwrap(), 2);
        assert!(matches!(checked(&["1.1.1.1", "10.0.0.1"]), Err(ResolveError::Blocked(_))));
        // Also where it comes after the last address that would be used.
        let mut many = vec!["1.1.1.1"; 40];
        assert_eq!(checked(&many).unwrap(), ADDRESSES_MAX);
        many.push("127.0.0.1");
        assert!(matches!(checked(&many), Err(ResolveError::Blocked(_))));
        assert!(matches!(checked(&[]), Err(ResolveError::NotFound(_))));
    }

    #[tokio::test]
    async fn a_name_of_this_machine_is_blocked_unless_allowed() {
        let guarded = GuardedResolver::new(Arc::default()).resolve("localhost").await;
        assert!(matches!(guarded, Err(ResolveError::Blocked(_))), "{guarded:?}");
        let allow = ["127.0.0.0/8", "::1/128"].map(|network| network.parse().unwrap()).to_vec();
        let open = GuardedResolver::new(Arc::new(EgressPolicy::new(allow)));
        assert!(!open.resolve("localhost").await.unwrap().is_empty());
    }
}
