//! Which traces are sent.

use opentelemetry::trace::{Link, SpanKind, TraceContextExt as _, TraceId};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{Sampler, SamplingResult, ShouldSample};

/// A share of the traces, chosen by trace id. A request decides for itself, since who calls us must not decide how much we
/// send; whatever comes after it follows its decision.
#[derive(Debug, Clone)]
pub(super) struct ByTraceId {
    /// From 0 to 1.
    pub(super) ratio: f64,
}

impl ShouldSample for ByTraceId {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let by_ratio = Sampler::TraceIdRatioBased(self.ratio);
        let has_parent = parent.is_some_and(|parent| parent.span().span_context().is_valid());
        if has_parent && *kind != SpanKind::Server {
            let by_parent = Sampler::ParentBased(Box::new(by_ratio));
            return by_parent.should_sample(parent, trace_id, name, kind, attributes, links);
        }
        by_ratio.should_sample(parent, trace_id, name, kind, attributes, links)
    }
}

#[cfg(test)]
mod tests {
    use super::super::traceparent::parse;
    use super::*;
    use opentelemetry_sdk::trace::SamplingDecision;

    #[test]
    fn callers_do_not_decide_and_what_follows_does_as_it_is_told() {
        let decide = |ratio: f64, kind: SpanKind, flags: &str| {
            let parent =
                parse(&format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}")).unwrap();
            let trace_id = parent.trace_id();
            let context = Context::new().with_remote_span_context(parent);
            let result = ByTraceId { ratio }.should_sample(Some(&context), trace_id, "", &kind, &[], &[]);
            result.decision == SamplingDecision::RecordAndSample
        };
        assert!(!decide(0.0, SpanKind::Server, "01"));
        assert!(decide(1.0, SpanKind::Server, "00"));
        assert!(decide(0.0, SpanKind::Client, "01"));
        assert!(!decide(1.0, SpanKind::Client, "00"));
    }
}
