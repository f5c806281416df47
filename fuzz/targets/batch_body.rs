//! Bodies of batches: no panic, each payload is the bytes that were sent, and what names an event can stand in a header.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use trunkline_domain::payload::inspect;
use trunkline_domain::{EventType, OrderingKey};

// Not through the api's crate, with which half the world would have to be built for the fuzzer.
#[path = "../../api/src/actions/events/batch/body_text.rs"]
mod body_text;

fn is_visible(text: &str, bytes_max: usize) -> bool {
    (1..=bytes_max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn payloads(body: &[u8]) -> Vec<&[u8]> {
    let Ok(batch) = serde_json::from_slice::<body_text::BatchRequest<'_>>(body) else { return Vec::new() };
    let items = batch.events.iter().filter_map(|text| {
        let item = serde_json::from_str::<body_text::ItemRequest<'_>>(text.get()).ok()?;
        let _ = (item.idempotency_key, item.deliver_at);
        if let Some(Ok(named)) = item.r#type.map(EventType::try_from) {
            assert!(is_visible(named.as_str(), 128), "{named:?}");
        }
        if let Some(Ok(key)) = item.ordering_key.map(|key| key.parse::<OrderingKey>()) {
            assert!(is_visible(key.as_str(), 256), "{key:?}");
        }
        Some(item.payload.get().as_bytes())
    });
    items.collect()
}

fuzz_target!(|input: &[u8]| {
    let body = Bytes::copy_from_slice(input);
    for payload in payloads(&body) {
        // Panics if the payload does not lie in the body, as the api relies on.
        let kept = body.slice_ref(payload);
        if inspect(&kept).is_ok() {
            assert_eq!((kept.first(), kept.last()), (Some(&b'{'), Some(&b'}')));
        }
    }
});
