//! Headers of the tenant's own, sent with every attempt beside ours.

use std::collections::{BTreeMap, BTreeSet};

use super::Refused;

const HEADERS_MAX: usize = 20;
const NAME_BYTES_MAX: usize = 64;
const VALUE_BYTES_MAX: usize = 4096;

/// What would change how a request is framed, routed or understood (RFC 9110, 7.6.1), or what receivers trust in us for.
const RESERVED: [&str; 15] = [
    "accept",
    "accept-encoding",
    "connection",
    "cookie",
    "expect",
    "host",
    "keep-alive",
    "stripe-signature",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

const RESERVED_PREFIXES: [&str; 5] = ["content-", "proxy-", "trunkline-", "webhook-", "x-forwarded-"];

/// What is shown in place of a value; saved by mistake, it would be sent.
const HIDDEN: &str = "***";

const FIELD: &str = "custom_headers";

pub(super) fn check(headers: &BTreeMap<String, String>) -> Result<(), Refused> {
    if headers.len() > HEADERS_MAX {
        return Err(Refused::new(FIELD, "accepts at most 20 headers"));
    }
    let mut seen = BTreeSet::new();
    for (name, value) in headers {
        if !is_name(name) {
            let accepts = "accepts names of 1 to 64 letters, digits and !#$%&'*+-.^_`|~ (RFC 9110, 5.6.2)";
            return Err(Refused::new(FIELD, accepts));
        }
        let lower = name.to_ascii_lowercase();
        if is_reserved(&lower) {
            return Err(Refused::new(FIELD, format!("does not accept {lower}: it is not a tenant's to set")));
        }
        if value == HIDDEN {
            let reason = format!(
                "has *** for {lower}, which only stands for a value that is not shown; send the value"
            );
            return Err(Refused::new(FIELD, reason));
        }
        if !is_value(value) {
            let reason = format!(
                "accepts values of at most 4096 visible ASCII characters, with blanks between them only; {lower} has another"
            );
            return Err(Refused::new(FIELD, reason));
        }
        if !seen.insert(lower.clone()) {
            return Err(Refused::new(FIELD, format!("names {lower} twice; capitals make no difference")));
        }
    }
    Ok(())
}

/// Whether a header may be sent as a tenant's own. For whoever sends: a table can be written by hand.
pub fn is_custom_header(name: &str, value: &str) -> bool {
    is_name(name) && !is_reserved(&name.to_ascii_lowercase()) && is_value(value)
}

/// A token (RFC 9110, 5.6.2).
fn is_name(name: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_token)
}

fn is_reserved(lower: &str) -> bool {
    RESERVED.contains(&lower) || RESERVED_PREFIXES.iter().any(|prefix| lower.starts_with(prefix))
}

fn is_value(value: &str) -> bool {
    value.len() <= VALUE_BYTES_MAX
        && value.trim() == value
        && value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn tenants_set_headers_of_their_own_and_authorization() {
        let twenty: BTreeMap<_, _> = (0..20).map(|number| (format!("x-{number}"), String::new())).collect();
        for good in [
            of(&[]),
            of(&[("Authorization", "Bearer abc"), ("X-Api-Key", "k"), ("x_y.z~", "two words")]),
            of(&[(&"n".repeat(64), &"v".repeat(4096))]),
            twenty,
        ] {
            assert_eq!(check(&good), Ok(()), "{good:?}");
        }
    }

    #[test]
    fn what_is_reserved_malformed_or_double_is_refused_without_its_value() {
        let many: BTreeMap<_, _> = (0..21).map(|number| (format!("x-{number}"), String::new())).collect();
        let mut bad = vec![many, of(&[("X-A", "1"), ("x-a", "2")]), of(&[("x-a", "***")])];
        let names = [
            "",
            "a b",
            "a:b",
            "ü",
            "Connection",
            "keep-alive",
            "proxy-authorization",
            "Proxy-Connection",
            "TE",
            "trailer",
            "Transfer-Encoding",
            "upgrade",
            "HOST",
            "content-type",
            "Content-Length",
            "cookie",
            "webhook-id",
            "Webhook-Signature",
            "Stripe-Signature",
            "X-Forwarded-For",
            "trunkline-attempt",
            "traceparent",
            "tracestate",
            "User-Agent",
            "accept",
            "accept-encoding",
            "Expect",
        ];
        bad.extend(names.map(|name| of(&[(name, "canary")])));
        bad.push(of(&[(&"n".repeat(65), "canary")]));
        let values = [
            "canary\r\nx: y",
            "canary\0",
            "canary\t",
            "ücanary",
            " canary",
            "canary ",
            &"canary".repeat(800),
        ];
        bad.extend(values.map(|value| of(&[("x-a", value)])));
        for bad in bad {
            let refused = check(&bad).unwrap_err();
            assert_eq!(refused.field, "custom_headers", "{bad:?}");
            assert!(!refused.to_string().contains("canary"), "{refused}");
        }
    }
}
