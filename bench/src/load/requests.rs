//! Requests as bytes, made once; only a number in each body changes.

use super::{Body, Order};

/// Digits of the number that tells bodies apart.
const NUMBER_DIGITS: usize = 12;
const NUMBER_ZERO: &str = "000000000000";

/// Every payload begins so, and has other fields behind.
const PAYLOAD_START: &str = r#"{"type":"bench.event","number":""#;

/// A request, ready to be sent.
pub(super) struct Request {
    bytes: Vec<u8>,
    /// Where the numbers are.
    numbers: Vec<usize>,
}

/// One request for each key.
pub(super) fn prepare(order: &Order) -> Vec<Request> {
    let body = match order.body {
        Body::Event { bytes } => payload(bytes),
        Body::Batch { events, bytes } => {
            let event = format!(r#"{{"type":"bench.event","payload":{}}}"#, payload(bytes));
            format!(r#"{{"events":[{}]}}"#, vec![event; events].join(","))
        }
    };
    order.keys.iter().map(|key| request(&order.path, key, &body)).collect()
}

impl Request {
    /// The bytes to send, with the number in every payload.
    pub(super) fn numbered(&mut self, number: u64) -> &[u8] {
        let mut digits = [b'0'; NUMBER_DIGITS];
        let mut rest = number;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        for start in &self.numbers {
            self.bytes[*start..*start + NUMBER_DIGITS].copy_from_slice(&digits);
        }
        &self.bytes
    }
}

fn request(path: &str, key: &str, body: &str) -> Request {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let places = body.match_indices(PAYLOAD_START);
    let numbers = places.map(|(start, found)| head.len() + start + found.len()).collect();
    Request { bytes: [head.as_bytes(), body.as_bytes()].concat(), numbers }
}

/// A payload of exactly so many bytes, or the shortest there is: an order with its items, since a body of one long text
/// would be parsed in no time, and a last field that fills it up.
fn payload(bytes: usize) -> String {
    let mut letters = Letters(0x9e37_79b9_7f4a_7c15);
    let (middle, end) = (r#"],"note":""#, r#""}"#);
    let mut text = format!(r#"{PAYLOAD_START}{NUMBER_ZERO}","items":["#);
    loop {
        let comma = if text.ends_with('[') { "" } else { "," };
        let item = format!(
            r#"{comma}{{"sku":"{}","name":"{}","quantity":3,"price":{{"amount":1999,"currency":"EUR"}},"gift":false}}"#,
            letters.take(8),
            letters.take(16),
        );
        if text.len() + item.len() + middle.len() + end.len() > bytes {
            break;
        }
        text += &item;
    }
    let note = letters.take(bytes.saturating_sub(text.len() + middle.len() + end.len()));
    text + middle + &note + end
}

/// Letters that look random and are the same in each run: what compresses well would flatter the database.
struct Letters(u64);

impl Letters {
    fn take(&mut self, length: usize) -> String {
        let letter = || {
            // xorshift64 (Marsaglia 2003)
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            char::from(
                b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[(self.0 >> 58) as usize],
            )
        };
        std::iter::repeat_with(letter).take(length).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_has_the_size_that_was_asked_for_and_is_json() {
        for bytes in [100, 1_024, 204_800] {
            let text = payload(bytes);
            assert_eq!(text.len(), bytes);
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(value["type"], "bench.event");
        }
    }

    #[test]
    fn every_body_has_its_number() {
        let mut one = request("/v1/events", "key", &format!("[{},{}]", payload(100), payload(100)));
        let text = String::from_utf8(one.numbered(4_711).to_vec()).unwrap();
        let (_, body) = text.split_once("\r\n\r\n").unwrap();
        let value: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(value[0]["number"], "000000004711");
        assert_eq!(value[1]["number"], "000000004711");
        assert!(text.contains(&format!("content-length: {}\r\n", body.len())));
    }
}
