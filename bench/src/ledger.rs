//! What was acknowledged, and what arrived: when, for which event, at which endpoint. One format for both sides, so that
//! they can be laid side by side when a measure is over.

use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};

/// Bytes of an entry in a file.
const ENTRY_BYTES: usize = 16 + 4 + 8;

/// How the API writes an event's id: this and 32 hexadecimal digits.
const EVENT_PREFIX: &[u8] = b"evt_";

/// One event at one endpoint at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    /// The event's id as a number; 0 where a request named none.
    pub(crate) event: u128,
    /// The number at the end of the endpoint's path; 0 on the side of the publisher.
    pub(crate) endpoint: u32,
    /// By [`monotonic_ns`](crate::clock::monotonic_ns).
    pub(crate) at_ns: u64,
}

/// Every event id in a text, in order.
pub(crate) fn event_ids(text: &[u8]) -> impl Iterator<Item = u128> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let start = rest.windows(EVENT_PREFIX.len()).position(|window| window == EVENT_PREFIX)?;
        let digits = rest.get(start + EVENT_PREFIX.len()..start + EVENT_PREFIX.len() + 32)?;
        rest = &rest[start + EVENT_PREFIX.len() + 32..];
        u128::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
    })
}

/// Writes entries as they are in memory, without words around them: a million of them are 28 MB.
pub(crate) fn write(file: &Path, entries: &[Entry]) -> anyhow::Result<()> {
    let mut bytes = Vec::with_capacity(entries.len() * ENTRY_BYTES);
    for entry in entries {
        bytes.extend_from_slice(&entry.event.to_le_bytes());
        bytes.extend_from_slice(&entry.endpoint.to_le_bytes());
        bytes.extend_from_slice(&entry.at_ns.to_le_bytes());
    }
    fs::write(file, bytes).with_context(|| format!("writing {}", file.display()))
}

/// Reads what [`write()`] wrote, and removes the file.
pub(crate) fn take(file: &Path) -> anyhow::Result<Vec<Entry>> {
    let bytes = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    fs::remove_file(file)?;
    ensure!(bytes.len().is_multiple_of(ENTRY_BYTES), "{} was cut short", file.display());
    Ok(bytes.chunks_exact(ENTRY_BYTES).filter_map(entry).collect())
}

fn entry(bytes: &[u8]) -> Option<Entry> {
    Some(Entry {
        event: u128::from_le_bytes(bytes.get(..16)?.try_into().ok()?),
        endpoint: u32::from_le_bytes(bytes.get(16..20)?.try_into().ok()?),
        at_ns: u64::from_le_bytes(bytes.get(20..28)?.try_into().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_wherever_they_stand() {
        let one = format!("evt_{:032x}", 7);
        let two = format!("evt_{:032x}", u128::MAX);
        let text = format!("{{\"event_id\":\"{one}\"}},{{\"event_id\":\"{two}\"}}, evt_short");
        assert_eq!(event_ids(text.as_bytes()).collect::<Vec<_>>(), [7, u128::MAX]);
        assert_eq!(event_ids(b"").count(), 0);
    }

    #[test]
    fn entries_survive_a_file() {
        let file = std::env::temp_dir().join(format!("trunkline-bench-ledger-{}", std::process::id()));
        let entries = [1, u128::MAX].map(|event| Entry { event, endpoint: 3, at_ns: 5 });
        write(&file, &entries).unwrap();
        assert_eq!(take(&file).unwrap(), entries);
        assert!(!file.exists());
    }
}
