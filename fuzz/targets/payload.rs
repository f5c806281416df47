//! Which bodies are payloads: whatever comes, an answer; and what passes is JSON to others too.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trunkline_domain::payload::inspect;

fuzz_target!(|body: &[u8]| {
    let Ok(facts) = inspect(body) else { return };
    // Numbers of any size pass here, and there when nobody reads them.
    let read = serde_json::from_slice::<serde::de::IgnoredAny>(body);
    assert!(read.is_ok(), "accepted, but no JSON: {read:?}");
    let _ = facts.event_type();
});
