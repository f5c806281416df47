//! What the house has used so far: two readings tell what lay between.

use super::House;
use crate::clock::monotonic_ns;

/// A reading.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Meter {
    pub(crate) at_ns: u64,
    /// CPU seconds of all apis, of all workers, of PostgreSQL.
    pub(crate) api: f64,
    pub(crate) worker: f64,
    pub(crate) postgres: f64,
    /// Bytes of WAL, and full pages among it.
    pub(crate) wal_bytes: f64,
}

impl House<'_> {
    /// Reads every meter. Processes that were stopped are no longer counted.
    pub(crate) fn read_meter(&self) -> anyhow::Result<Meter> {
        Ok(Meter {
            at_ns: monotonic_ns(),
            api: self.apis.iter().map(|api| api.process.cpu_seconds()).sum(),
            worker: self.workers.iter().map(|worker| worker.process.cpu_seconds()).sum(),
            postgres: self.server.cpu_seconds()?,
            wal_bytes: self.server.wal_bytes()?,
        })
    }
}

impl Meter {
    /// What was used since an earlier reading.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self {
            at_ns: self.at_ns - earlier.at_ns,
            api: self.api - earlier.api,
            worker: self.worker - earlier.worker,
            postgres: self.postgres - earlier.postgres,
            wal_bytes: self.wal_bytes - earlier.wal_bytes,
        }
    }

    /// CPU seconds of the house, without publisher and sink.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        self.api + self.worker + self.postgres
    }
}
