//! Spans on their way to the collector: OTLP over HTTP, protobuf.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use secrecy::ExposeSecret as _;

use super::TraceError;
use crate::settings::TelemetrySettings;

/// A collector that takes longer is down.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How much of a collector's answer is read.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// `None` where no collector is set.
pub(super) fn exporter(settings: &TelemetrySettings) -> Result<Option<SpanExporter>, TraceError> {
    let Some(endpoint) = &settings.otlp_endpoint else { return Ok(None) };
    let headers = settings.otlp_headers.iter();
    let headers: HashMap<String, String> =
        headers.map(|(name, value)| (name.clone(), value.expose_secret().to_owned())).collect();
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Collector::new())
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(traces_url(endpoint))
        .with_headers(headers)
        .with_timeout(TIMEOUT)
        .build()?;
    Ok(Some(exporter))
}

/// The path that OTLP gives to traces, unless there is one.
fn traces_url(endpoint: &str) -> String {
    let has_path = endpoint.splitn(4, '/').nth(3).is_some_and(|path| !path.is_empty());
    if has_path { endpoint.to_owned() } else { format!("{}/v1/traces", endpoint.trim_end_matches('/')) }
}

/// A blocking client: spans are sent by a thread of their own, which has nothing else to do.
#[derive(Debug)]
struct Collector {
    agent: ureq::Agent,
    is_away: AtomicBool,
}

impl Collector {
    fn new() -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            // Not by the environment's proxy, nor anywhere else than was set.
            .proxy(None)
            .max_redirects(0)
            .build();
        Self { agent: config.into(), is_away: AtomicBool::new(false) }
    }

    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, ureq::Error> {
        let (head, body) = request.into_parts();
        let answer = self.agent.run(Request::from_parts(head, &body[..]))?;
        let (head, mut body) = answer.into_parts();
        let body = body.with_config().limit(ANSWER_BYTES_MAX).read_to_vec()?;
        Ok(Response::from_parts(head, Bytes::from(body)))
    }

    /// Says once that spans are lost, and once that they are not any more.
    fn note(&self, is_away: bool, why: &str) {
        match (self.is_away.swap(is_away, Ordering::Relaxed), is_away) {
            (false, true) => {
                tracing::warn!(why, "the collector of traces takes none; they are lost until it does");
            }
            (true, false) => tracing::info!("the collector of traces takes them again"),
            _ => {}
        }
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        match self.send(request) {
            Ok(answer) => {
                self.note(!answer.status().is_success(), answer.status().as_str());
                Ok(answer)
            }
            Err(error) => {
                self.note(true, &error.to_string());
                Err(error.into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_named_by_its_address_or_by_its_whole_url() {
        for (endpoint, url) in [
            ("http://collector:4318", "http://collector:4318/v1/traces"),
            ("http://collector:4318/", "http://collector:4318/v1/traces"),
            ("https://otlp.example.com/team/v1/traces", "https://otlp.example.com/team/v1/traces"),
        ] {
            assert_eq!(traces_url(endpoint), url);
        }
    }
}
