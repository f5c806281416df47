//! One run: where things are, how long measures may take, and the limits of the machine, found once.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use crate::guard::Guard;
use crate::measures::limits::Limits;
use crate::programs::Programs;

/// By how much `--quick` shortens a measure.
const QUICK: u64 = 5;

/// What all measures of a run share.
pub(crate) struct Run {
    pub(crate) programs: Programs,
    pub(crate) guard: Guard,
    /// For data that go when the run is over.
    pub(crate) folder: PathBuf,
    /// Where results stay.
    pub(crate) results: PathBuf,
    /// Whether measures are short, to see that they work rather than what they find.
    pub(crate) is_quick: bool,
    /// Measured when first asked for.
    pub(crate) limits: OnceCell<Limits>,
}

impl Run {
    pub(crate) fn start(results: &Path, is_quick: bool, build: bool) -> anyhow::Result<Self> {
        let programs = Programs::prepare(build)?;
        let folder = std::env::temp_dir().join(format!("trunkline-bench-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let guard = Guard::start(&folder)?;
        let results = results.to_owned();
        Ok(Self { programs, guard, folder, results, is_quick, limits: OnceCell::new() })
    }

    /// So many seconds, or fewer when it must be quick.
    pub(crate) fn seconds(&self, seconds: f64) -> f64 {
        if self.is_quick { seconds / QUICK as f64 } else { seconds }
    }

    /// So many, or fewer when it must be quick.
    pub(crate) fn count(&self, count: u64) -> u64 {
        if self.is_quick { count / QUICK } else { count }
    }
}
