//! Names to addresses, every one of them checked.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::EgressPolicy;
use crate::address::AddressRefused;

/// Look-ups at one time: each blocks a thread of the system resolver. Twice as many as there can be calls to endpoints that
/// fail (a quarter of what a worker does by default), so that names that never resolve leave room for others.
const LOOKUPS_MAX: usize = 256;

/// Addresses used of one name; more are cut off after all were checked.
const ADDRESSES_MAX: usize = 16;

/// What turns a name into addresses.
pub type Lookup =
    Arc<dyn Fn(String) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>> + Send + Sync>;

/// The system's resolver, in the order it prefers.
pub fn system_lookup() -> Lookup {
    Arc::new(|name| {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    })
}

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
    /// A resolver under a policy, which asks `lookup`: outside tests, [`system_lookup`].
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
            self.policy.check_address(*address)?;
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
        assert!(matches!(resolved(&["1.1.1.1", "10.0.0.1"]).await, Err(ResolveError::Blocked(_))));
        // Also where it comes after the last address that would be used.
        let mut many = vec!["1.1.1.1"; 40];
        assert_eq!(resolved(&many).await.unwrap(), ADDRESSES_MAX);
        many.push("127.0.0.1");
        assert!(matches!(resolved(&many).await, Err(ResolveError::Blocked(_))));
        assert!(matches!(resolved(&[]).await, Err(ResolveError::NotFound(_))));
    }

    #[tokio::test]
    async fn a_name_of_this_machine_is_blocked_unless_allowed() {
        let guarded = GuardedResolver::new(Arc::default(), system_lookup()).resolve("localhost").await;
        assert!(matches!(guarded, Err(ResolveError::Blocked(_))), "{guarded:?}");
        let allow = ["127.0.0.0/8", "::1/128"].map(|network| network.parse().unwrap()).to_vec();
        let policy = Arc::new(EgressPolicy::new(allow, Vec::new()));
        assert!(
            !GuardedResolver::new(policy, system_lookup()).resolve("localhost").await.unwrap().is_empty()
        );
    }
}
