//! What a request says, as far as the sink cares.

use std::time::Duration;

use anyhow::{Context, bail};
use trunkline_signing::{Secret, verify_any};

/// The worker sends about a dozen.
const HEADERS_MAX: usize = 48;

/// The longest body that is taken: the API takes 256 KiB.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// How far a signature's time may be off, as a receiver would have it.
const TOLERANCE: Duration = Duration::from_secs(300);

/// The head of a request: where it ends and what it says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Bytes of the head.
    pub(super) head_bytes: usize,
    /// Bytes of the body that follows.
    pub(super) body_bytes: usize,
    pub(super) meaning: Meaning,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A delivery of an event (0 = none is named) to the endpoint with this number.
    Delivery { event: u128, endpoint: u32 },
    /// A question of the measure.
    Control(String),
}

/// Reads a head; `None` while it is not complete.
pub(super) fn read(bytes: &[u8]) -> anyhow::Result<Option<Head>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(head_bytes) = request.parse(bytes)? else {
        return Ok(None);
    };
    let path = request.path.context("a request without a path")?;
    let body_bytes = match header(request.headers, "content-length") {
        Some(text) => text.parse()?,
        None => 0,
    };
    if body_bytes > BODY_BYTES_MAX || header(request.headers, "transfer-encoding").is_some() {
        bail!("a body that this sink does not read");
    }
    let meaning = match path.strip_prefix("/-/") {
        Some(question) => Meaning::Control(question.to_owned()),
        None => Meaning::Delivery {
            event: header(request.headers, "webhook-id").and_then(event).unwrap_or_default(),
            endpoint: path.rsplit('/').next().and_then(|number| number.parse().ok()).unwrap_or_default(),
        },
    };
    Ok(Some(Head { head_bytes, body_bytes, meaning }))
}

/// Whether both signatures of a request hold.
pub(super) fn is_signed(head: &[u8], body: &[u8], secret: &Secret, now_unix: i64) -> bool {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    if !matches!(request.parse(head), Ok(httparse::Status::Complete(_))) {
        return false;
    }
    let has_both =
        ["webhook-signature", "stripe-signature"].iter().all(|name| header(request.headers, name).is_some());
    has_both && verify_any(|name| header(request.headers, name), body, &[secret], now_unix, TOLERANCE).is_ok()
}

fn header<'a>(headers: &[httparse::Header<'a>], name: &str) -> Option<&'a str> {
    let found = headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
    str::from_utf8(found.value).ok()
}

fn event(id: &str) -> Option<u128> {
    u128::from_str_radix(id.strip_prefix("evt_")?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::SECRET;

    #[test]
    fn a_delivery_names_its_event_and_its_endpoint() {
        let text =
            format!("POST /e/12 HTTP/1.1\r\nWebhook-Id: evt_{:032x}\r\nContent-Length: 3\r\n\r\nabc", 7);
        let head = read(text.as_bytes()).unwrap().unwrap();
        assert_eq!(head.meaning, Meaning::Delivery { event: 7, endpoint: 12 });
        assert_eq!(head.head_bytes + head.body_bytes, text.len());
        assert_eq!(read(&text.as_bytes()[..30]).unwrap(), None);
    }

    #[test]
    fn only_both_signatures_will_do() {
        let (body, now) = (b"{}", 1_700_000_000);
        let secret = Secret::from_stored(SECRET).unwrap();
        let signed = trunkline_signing::sign("evt_1", now, body, &[&secret]);
        let standard = format!(
            "webhook-id: evt_1\r\nwebhook-timestamp: {}\r\nwebhook-signature: {}\r\n",
            signed.webhook_timestamp, signed.webhook_signature
        );
        let stripe = format!("stripe-signature: {}\r\n", signed.stripe_signature);
        let is_good = |headers: &str, body: &[u8]| {
            let head = format!("POST / HTTP/1.1\r\n{headers}\r\n");
            is_signed(head.as_bytes(), body, &secret, now)
        };
        assert!(is_good(&format!("{standard}{stripe}"), body));
        assert!(!is_good(&standard, body));
        assert!(!is_good(&stripe, body));
        assert!(!is_good(&format!("{standard}{stripe}"), b"{ }"));
    }
}
