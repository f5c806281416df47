//! Puts the egress guard between the HTTP client and the network: only addresses that were checked are connected to.

use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use trunkline_domain::AttemptOutcome;
use trunkline_egress::{GuardedResolver, ResolveError};

use super::Failure;

/// The client's resolver.
pub(super) struct Guard(pub(super) Arc<GuardedResolver>);

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.0.clone();
        Box::pin(async move {
            let addresses = resolver.resolve(name.as_str()).await.map_err(NameError)?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// Travels through the client's errors, so that the failure can be told from a refused connection.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(super) struct NameError(ResolveError);

impl NameError {
    pub(super) fn to_failure(&self) -> Failure {
        let outcome = match &self.0 {
            ResolveError::Blocked(_) => AttemptOutcome::Blocked,
            _ => AttemptOutcome::DnsError,
        };
        Failure::new(outcome, self.0.to_string())
    }
}
