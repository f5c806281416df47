//! The headers of an answer as they are stored with its attempt.

use http::HeaderMap;
use http::header::{AUTHORIZATION, SET_COOKIE};

/// The most that is kept. Whole lines only, so that no value is shown cut as if it were all.
const BYTES_MAX: usize = 4 * 1024;

/// Stands for a value that may let its reader in somewhere.
const MASKED: &[u8] = b"***";

/// A line `name: value` for each header, in the order they came by name. Values are the endpoint's bytes; HTTP has no line end
/// in them (RFC 9110, section 5.5).
pub(super) fn to_lines(headers: &HeaderMap) -> Vec<u8> {
    let mut lines = Vec::new();
    for (name, value) in headers {
        let value = if [SET_COOKIE, AUTHORIZATION].contains(name) { MASKED } else { value.as_bytes() };
        if lines.len() + name.as_str().len() + b": \n".len() + value.len() <= BYTES_MAX {
            lines.extend_from_slice(name.as_str().as_bytes());
            lines.extend_from_slice(b": ");
            lines.extend_from_slice(value);
            lines.push(b'\n');
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn headers_become_lines_with_cookies_masked_and_none_cut() {
        let mut headers = HeaderMap::new();
        headers.append("server", HeaderValue::from_static("nginx"));
        headers.append("set-cookie", HeaderValue::from_static("session=secret"));
        headers.append("x-large", HeaderValue::from_bytes(&vec![b'x'; BYTES_MAX]).unwrap());
        headers.append("x-bytes", HeaderValue::from_bytes(b"\xff").unwrap());
        assert_eq!(to_lines(&headers), b"server: nginx\nset-cookie: ***\nx-bytes: \xff\n");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut headers = HeaderMap::new();
        for number in 0..1_000 {
            let name = HeaderName::try_from(format!("x-{number}")).unwrap();
            headers.append(name, HeaderValue::from_static("value"));
        }
        let lines = to_lines(&headers);
        assert!(lines.len() <= BYTES_MAX && lines.ends_with(b"value\n"));
    }
}
