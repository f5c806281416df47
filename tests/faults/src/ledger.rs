//! What was acknowledged, on disk before it counts: whatever is in here must arrive.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};

use anyhow::Context;
use tokio::sync::oneshot;

/// Lines written with one fsync: more than ever wait, since each waiting publisher has one.
const BATCH_MAX: usize = 1_000;

/// An acknowledgement on its way to the disk.
struct Line {
    event_id: String,
    number: u64,
    written: oneshot::Sender<()>,
}

/// The publisher's memory. Clones share it.
#[derive(Clone)]
pub(crate) struct Ledger {
    /// `None`: kept in memory only.
    lines: Option<mpsc::Sender<Line>>,
    entries: Arc<Mutex<Entries>>,
}

/// What a publisher knows about its events.
#[derive(Clone, Default)]
pub(crate) struct Entries {
    /// Acknowledged: event id and the number in its payload.
    pub(crate) acknowledged: HashMap<String, u64>,
    /// Numbers of requests without a key whose answer never came: stored or not, both are right.
    pub(crate) in_doubt: HashSet<u64>,
    /// Answered more than once with different events for one key: the promise of idempotency broken.
    pub(crate) contradicted: u64,
}

impl Ledger {
    pub(crate) fn open(file: &Path) -> anyhow::Result<Self> {
        let file = File::create(file).with_context(|| format!("creating {}", file.display()))?;
        let (lines, waiting) = mpsc::channel();
        let entries = Arc::new(Mutex::new(Entries::default()));
        let ledger = Self { lines: Some(lines), entries };
        let entries = ledger.entries.clone();
        std::thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || keep(file, &waiting, &entries))?;
        Ok(ledger)
    }

    /// One for figures of speed, which a disk would slow down; nothing is judged by it.
    pub(crate) fn in_memory() -> Self {
        Self { lines: None, entries: Arc::default() }
    }

    /// Returns when it is on the disk.
    pub(crate) async fn acknowledge(&self, event_id: String, number: u64) -> anyhow::Result<()> {
        let Some(lines) = &self.lines else {
            self.lock().acknowledged.insert(event_id, number);
            return Ok(());
        };
        let (written, done) = oneshot::channel();
        lines.send(Line { event_id, number, written }).map_err(|_| anyhow::anyhow!("the ledger is gone"))?;
        done.await.context("the ledger could not be written")
    }

    pub(crate) fn doubt(&self, number: u64) {
        self.lock().in_doubt.insert(number);
    }

    pub(crate) fn acknowledged(&self) -> usize {
        self.lock().acknowledged.len()
    }

    pub(crate) fn entries(&self) -> Entries {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Entries> {
        self.entries.lock().expect("nobody panics while holding it")
    }
}

/// Ends with the last sender, or when the disk fails, which every waiting publisher then learns.
fn keep(mut file: File, waiting: &mpsc::Receiver<Line>, entries: &Mutex<Entries>) {
    while let Ok(first) = waiting.recv() {
        let batch: Vec<Line> = std::iter::once(first).chain(waiting.try_iter().take(BATCH_MAX - 1)).collect();
        let text: String = batch.iter().map(|line| format!("{} {}\n", line.event_id, line.number)).collect();
        if file.write_all(text.as_bytes()).and_then(|()| file.sync_data()).is_err() {
            return;
        }
        let mut entries = entries.lock().expect("nobody panics while holding it");
        for line in batch {
            let before = entries.acknowledged.insert(line.event_id, line.number);
            entries.contradicted += u64::from(before.is_some_and(|number| number != line.number));
            // A publisher that gave up meanwhile needs no word.
            let _ = line.written.send(());
        }
    }
}
