//! What a receiver counts.

use std::sync::LazyLock;

use trunkline_boot::metrics::{Counter, counter};

/// What can become of a webhook: the codes of its problems, and two ends without one.
const RESULTS: [&str; 12] = [
    "received",
    "duplicate",
    "reception_disabled",
    "tenant_unknown",
    "signature_missing",
    "signature_malformed",
    "signature_mismatch",
    "timestamp_outside_tolerance",
    "body_too_large",
    "database_unavailable",
    "internal_error",
    "other",
];

static WEBHOOKS: LazyLock<[(&str, Counter); 12]> = LazyLock::new(|| {
    let help = "Webhooks that came, by what became of them";
    RESULTS.map(|result| (result, counter("trunkline_receiver_webhooks_total", help, &[("result", result)])))
});

/// Makes every series, so that what never happened is 0 and not absent.
pub(crate) fn begin() {
    LazyLock::force(&WEBHOOKS);
}

/// Counts a webhook.
pub(crate) fn count_webhook(result: &str) {
    let [.., other] = &*WEBHOOKS;
    let (_, counter) = WEBHOOKS.iter().find(|(one, _)| *one == result).unwrap_or(other);
    counter.increment(1);
}
