//! Keys as seen lately, so that a busy publisher costs no query per event.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use moka::future::Cache;
use trunkline_boot::Clock;
use trunkline_store::api_keys::{self, KeyOwner};
use trunkline_store::{Pool, StoreError, roles};

use crate::problem::Problem;

/// How long an answer is believed. A revoked key works for at most this long, and the promise is 5 s.
const BELIEVED_FOR: Duration = Duration::from_secs(3);

/// Answers kept; about 30 MB at worst.
const ENTRIES_MAX: u64 = 100_000;

/// How often keys that were used are handed to the database, which writes each down at most once a minute.
const TOUCH_EVERY: Duration = Duration::from_secs(10);

/// Keys whose use is written down at one time; the use of more is not worth remembering.
const TOUCHED_MAX: usize = 10_000;

/// Owners by the hash of their key. Unknown keys are remembered too: each well-formed one costs a query else.
pub(crate) struct KeyCache {
    owners: Cache<[u8; 32], Option<KeyOwner>>,
    used: Mutex<HashSet<[u8; 32]>>,
}

impl KeyCache {
    pub(crate) fn new() -> Self {
        Self {
            owners: Cache::builder().max_capacity(ENTRIES_MAX).time_to_live(BELIEVED_FOR).build(),
            used: Mutex::default(),
        }
    }

    /// Whose key has this hash, if no query is needed to tell: `Some(None)` is nobody's.
    pub(crate) async fn known(&self, hash: &[u8; 32], clock: &Clock) -> Option<Option<KeyOwner>> {
        let owner = self.owners.get(hash).await?;
        Some(self.in_use(hash, owner, clock))
    }

    /// Whose key has this hash. Several who ask for the same at once share one query.
    pub(crate) async fn find(
        &self,
        pool: &Pool,
        clock: &Clock,
        hash: [u8; 32],
    ) -> Result<Option<KeyOwner>, Problem> {
        let ask = async {
            let mut connection = roles::for_operator(pool).await?;
            api_keys::find_owner(&mut connection, &hash, clock.now()).await
        };
        let found = self.owners.try_get_with(hash, ask).await;
        let owner = found.map_err(|error: Arc<StoreError>| Problem::unavailable(error))?;
        Ok(self.in_use(&hash, owner, clock))
    }

    /// The owner unless the key has expired since it was looked up; notes that it was used.
    fn in_use(&self, hash: &[u8; 32], owner: Option<KeyOwner>, clock: &Clock) -> Option<KeyOwner> {
        let owner = owner.filter(|owner| owner.expires_at.is_none_or(|at| at > clock.now()))?;
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.len() < TOUCHED_MAX {
            used.insert(*hash);
        }
        Some(owner)
    }

    /// Looks a key up anew when it comes next: it was revoked here, and other processes learn of it within [`BELIEVED_FOR`].
    pub(crate) async fn forget(&self, hash: &[u8]) {
        if let Ok(hash) = <[u8; 32]>::try_from(hash) {
            self.owners.invalidate(&hash).await;
        }
    }

    /// Writes down now and then which keys were used, for ever.
    pub(crate) async fn follow_uses(&self, pool: &Pool, clock: &Clock) {
        loop {
            tokio::time::sleep(TOUCH_EVERY).await;
            self.note_uses(pool, clock).await;
        }
    }

    /// Writes down which keys were used since the last time.
    pub(crate) async fn note_uses(&self, pool: &Pool, clock: &Clock) {
        let used = std::mem::take(&mut *self.used.lock().unwrap_or_else(PoisonError::into_inner));
        if used.is_empty() {
            return;
        }
        let hashes: Vec<Vec<u8>> = used.into_iter().map(|hash| hash.to_vec()).collect();
        // When it fails, the next use is written down later.
        if let Ok(mut connection) = roles::for_operator(pool).await
            && api_keys::touch(&mut connection, &hashes, clock.now()).await.is_ok()
        {
            let _ = connection.commit().await;
        }
    }
}
