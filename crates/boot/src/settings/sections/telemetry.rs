use super::super::reader::Reader;
use secrecy::SecretString;

/// `telemetry.*`
#[derive(Debug, Clone)]
pub struct TelemetrySettings {
    /// Where spans go: a collector's address such as `http://collector:4318`, to which `/v1/traces` is added, or a whole URL.
    /// `None`: nothing is traced.
    pub otlp_endpoint: Option<String>,
    /// Headers that the collector asks for, such as a key.
    pub otlp_headers: Vec<(String, SecretString)>,
    /// The share of requests that are traced, 0.0-1.0.
    pub sampling_ratio: f64,
}

impl Default for TelemetrySettings {
    fn default() -> Self {
        Self { otlp_endpoint: None, otlp_headers: Vec::new(), sampling_ratio: 1.0 }
    }
}

impl TelemetrySettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let default = Self::default();
        let endpoints = "accepts an address such as http://collector:4318, without user and password";
        let headers = "accepts pairs such as authorization=Bearer key, comma-separated";
        Self {
            otlp_endpoint: reader.scalar(
                "telemetry.otlp_endpoint",
                default.otlp_endpoint,
                endpoints,
                |text| is_endpoint(text).then(|| Some(text.to_owned())),
            ),
            otlp_headers: reader.list("telemetry.otlp_headers", default.otlp_headers, headers, |entry| {
                let (name, value) = entry.split_once('=').ok_or("is none")?;
                let is_header =
                    name.parse::<http::HeaderName>().is_ok() && value.parse::<http::HeaderValue>().is_ok();
                is_header.then(|| (name.to_owned(), SecretString::from(value))).ok_or("is no header")
            }),
            sampling_ratio: reader.number(
                "telemetry.sampling_ratio",
                default.sampling_ratio,
                0.0..=1.0,
                "a fraction",
            ),
        }
    }
}

fn is_endpoint(text: &str) -> bool {
    let Ok(uri) = text.parse::<http::Uri>() else { return false };
    let has_scheme = matches!(uri.scheme_str(), Some("http" | "https"));
    has_scheme && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
}
