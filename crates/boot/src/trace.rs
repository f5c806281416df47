//! Traces, sent to a collector over OTLP. Off unless `telemetry.otlp_endpoint` is set; a span costs one look at a cell then.

mod export;
mod sampling;
mod traceparent;

use std::sync::OnceLock;
use std::time::Duration;

use opentelemetry::trace::Span as _;
use opentelemetry::trace::{
    SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_otlp::ExporterBuildError;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

use crate::settings::TelemetrySettings;
use sampling::ByTraceId;

/// How long a process that stops waits for its last spans to be taken.
const LAST_WORDS: Duration = Duration::from_secs(3);

static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// The exporter cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("telemetry.otlp_endpoint: {0}")]
pub struct TraceError(#[from] ExporterBuildError);

/// Spans are sent while this lives; its end sends the last of them.
#[must_use = "spans are sent only while it lives"]
#[derive(Debug)]
pub struct Traces(Option<SdkTracerProvider>);

/// Starts to trace, once in a process, if a collector is set. `service` is what its spans are said to come from.
///
/// # Errors
/// When the exporter cannot be set up.
pub fn start(settings: &TelemetrySettings, service: &'static str) -> Result<Traces, TraceError> {
    let Some(exporter) = export::exporter(settings)? else { return Ok(Traces(None)) };
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let provider = SdkTracerProvider::builder()
        // Spans wait in a bounded queue; those that find no room are dropped, and nobody waits for them.
        .with_batch_exporter(exporter)
        .with_sampler(ByTraceId { ratio: settings.sampling_ratio })
        .with_resource(Resource::builder().with_service_name(service).with_attribute(version).build())
        .build();
    // A second call finds the first one's: whatever was counted on is there.
    let _first = TRACER.set(provider.tracer("trunkline"));
    Ok(Traces(Some(provider)))
}

impl Drop for Traces {
    fn drop(&mut self) {
        if let Some(provider) = self.0.take()
            && let Err(error) = provider.shutdown_with_timeout(LAST_WORDS)
        {
            tracing::warn!(%error, "the last spans were not sent");
        }
    }
}

/// A span, from its making to its drop; nothing where tracing is off.
#[derive(Debug)]
pub struct Span(Option<Box<opentelemetry_sdk::trace::Span>>);

impl Span {
    /// Of a request that came in. Whether it is sampled is our decision, whatever the caller's `traceparent` says: strangers
    /// must not fill our collector.
    #[must_use]
    pub fn of_request(name: impl FnOnce() -> String, traceparent: impl FnOnce() -> Option<String>) -> Self {
        Self::start(SpanKind::Server, || (name(), traceparent()))
    }

    /// Of a call that goes out; sampled if the span that it belongs to was.
    #[must_use]
    pub fn of_call(name: &'static str, traceparent: Option<&str>) -> Self {
        Self::start(SpanKind::Client, || (name.to_owned(), traceparent.map(str::to_owned)))
    }

    fn start(kind: SpanKind, facts: impl FnOnce() -> (String, Option<String>)) -> Self {
        let Some(tracer) = TRACER.get() else { return Self(None) };
        let (name, traceparent) = facts();
        let parent = traceparent.as_deref().and_then(traceparent::parse);
        let parent = parent.unwrap_or_else(SpanContext::empty_context);
        let context = Context::new().with_remote_span_context(parent);
        let span = SpanBuilder::from_name(name).with_kind(kind).start_with_context(tracer, &context);
        Self(Some(Box::new(span)))
    }

    /// Its W3C `traceparent`, for what belongs to it.
    #[must_use]
    pub fn traceparent(&self) -> Option<String> {
        self.0.as_ref().map(|span| traceparent::format(span.span_context()))
    }

    /// Whether anything is kept of it: what is dear to tell need not be told otherwise.
    #[must_use]
    pub fn is_recording(&self) -> bool {
        self.0.as_ref().is_some_and(|span| span.is_recording())
    }

    /// Calls it something else.
    pub fn rename(&mut self, name: String) {
        if let Some(span) = &mut self.0 {
            span.update_name(name);
        }
    }

    /// Tells a fact: never a secret, a payload, or a URL, which may hold one.
    pub fn tell(&mut self, key: &'static str, value: impl Into<Value>) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(KeyValue::new(key, value));
        }
    }

    /// Marks it as failed, with the reason in a word.
    pub fn fail(&mut self, reason: &'static str) {
        if let Some(span) = &mut self.0 {
            span.set_status(Status::error(reason));
        }
    }
}
