//! Where an endpoint is, as a person writes it on the command line.

use ureq::http::Uri;

/// The longest target URL, in characters.
const URL_CHARS_MAX: usize = 2_048;

/// The form of a target URL. Whether its address may be called is the worker's to decide, at every attempt.
pub(crate) fn target_url(text: &str) -> Result<String, String> {
    let accepts =
        "accepts http:// or https://, a host and a path, without credentials, up to 2,048 visible characters";
    let visible = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    let parsed = text.parse::<Uri>().ok().filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")));
    match parsed {
        Some(uri) if visible && text.len() <= URL_CHARS_MAX => {
            let has_credentials = uri.authority().is_none_or(|authority| authority.as_str().contains('@'));
            if has_credentials { Err(accepts.to_owned()) } else { Ok(uri.to_string()) }
        }
        _ => Err(accepts.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::target_url;

    #[test]
    fn a_target_is_a_plain_http_url() {
        for good in
            ["https://example.com/hooks", "http://127.0.0.1:8081/acme/webhook", "https://example.com/?a=b"]
        {
            assert_eq!(target_url(good).as_deref(), Ok(good));
        }
        let long = format!("https://example.com/{}", "a".repeat(2_048));
        for bad in [
            "",
            "example.com",
            "ftp://example.com/",
            "https://u:p@example.com/",
            "https://example.com/a b",
            &long,
        ] {
            assert!(target_url(bad).is_err(), "{bad:?}");
        }
    }
}
