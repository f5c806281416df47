//! What a failure of the database means to the caller.

use std::sync::Arc;

use trunkline_store::StoreError;

use super::Problem;
use crate::secrets::NoSecrets;

impl From<&StoreError> for Problem {
    fn from(error: &StoreError) -> Self {
        if error.retry_after().is_some() { Self::database_unavailable(error) } else { Self::internal(error) }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::from(&error)
    }
}

impl From<Arc<StoreError>> for Problem {
    fn from(error: Arc<StoreError>) -> Self {
        Self::from(&*error)
    }
}

impl From<Arc<NoSecrets>> for Problem {
    fn from(error: Arc<NoSecrets>) -> Self {
        match &*error {
            NoSecrets::UnknownTenant => Self::unknown_tenant(),
            NoSecrets::Store(error) => Self::from(error),
        }
    }
}
