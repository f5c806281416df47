//! One trace from the request that published an event through every attempt, as a collector gets it.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use serde_json::{Value, json};

use crate::catcher::{Catcher, Caught};
use crate::house::House;
use crate::http::post;

const CANARY: &str = "c4n4ry";

/// What the house told the collector, and what the endpoint saw.
struct Seen {
    spans: Vec<Span>,
    arrivals: Vec<Caught>,
    event_id: String,
}

/// Publishes one event to the receiver and to an endpoint that fails once, and stops the house.
fn traced(path: &str, body: &str, traceparent: Option<&str>, more: &[(&str, &str)]) -> Seen {
    let folder = tempfile::tempdir().unwrap();
    let (collector, endpoint) = (Catcher::start(&[]), Catcher::start(&[500]));
    let address = collector.url("");
    let mut variables = vec![
        ("TRUNKLINE__TELEMETRY__OTLP_ENDPOINT", address.as_str()),
        ("TRUNKLINE__TELEMETRY__OTLP_HEADERS", "x-collector-key=of-the-tests"),
        ("TRUNKLINE__DELIVERY__RETRY_SCHEDULE", "100ms,100ms"),
    ];
    variables.extend(more);
    let house = House::start_with(&folder.path().join("data"), &["--ephemeral"], &variables);
    let key = format!("Bearer {}", house.key("acme"));
    let mut headers = vec![("authorization", key.as_str()), ("content-type", "application/json")];
    // What a URL's query holds may be a secret.
    let target = endpoint.url(&format!("/hook?token={CANARY}"));
    let created = json!({"name": "caught", "url": target}).to_string();
    assert_eq!(post(&format!("{}/v1/endpoints", house.get("api_url")), &headers, &created).0, 201);
    headers.extend(traceparent.map(|value| ("traceparent", value)));
    let (status, answer) = post(&format!("{}{path}", house.get("api_url")), &headers, body);
    assert_eq!(status, 201, "{answer}");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let event = answer["events"].get(0).unwrap_or(&answer);
    let event_id = event["event_id"].as_str().unwrap().to_owned();
    let arrivals = endpoint.wait_for(2);
    house.await_status(&event_id, "acme", "DELIVERED");
    house.stop_by("TERM");

    let mut spans = Vec::new();
    for request in collector.all() {
        assert_eq!(request.path, "/v1/traces");
        assert_eq!(request.header("x-collector-key"), "of-the-tests");
        let body = String::from_utf8_lossy(&request.body);
        assert!(!body.contains(CANARY) && !body.contains("whsec_"), "a secret in a trace");
        let export = ExportTraceServiceRequest::decode(request.body.as_slice()).unwrap();
        let scopes = export.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        spans.extend(scopes.flat_map(|scope| scope.spans));
    }
    Seen { spans, arrivals, event_id }
}

impl Seen {
    fn request(&self, route: &str) -> &Span {
        self.spans.iter().find(|span| span.name == format!("POST {route}")).unwrap()
    }

    /// The spans of the event's attempts.
    fn attempts(&self) -> Vec<&Span> {
        let ours = |span: &&Span| attribute(span, "event.id") == json!(self.event_id);
        self.spans.iter().filter(|span| span.name == "attempt").filter(ours).collect()
    }

    /// Every attempt belongs to the request's trace, and the endpoint was told so.
    fn is_one_trace(&self, request: &Span) {
        let attempts = self.attempts();
        assert_eq!(attempts.len(), 3, "one at the receiver, two at the endpoint: {:?}", self.spans);
        for attempt in &attempts {
            assert_eq!(attempt.trace_id, request.trace_id);
            assert_eq!(attempt.parent_span_id, request.span_id);
        }
        let outcome = |arrival: &Caught| {
            let parts: Vec<&str> = arrival.header("traceparent").split('-').collect();
            assert_eq!(parts[1], hex(&request.trace_id));
            let span = attempts.iter().find(|span| hex(&span.span_id) == parts[2]).unwrap();
            (attribute(span, "trunkline.attempt"), attribute(span, "trunkline.outcome"))
        };
        let outcomes: Vec<_> = self.arrivals.iter().map(outcome).collect();
        assert_eq!(outcomes, [(json!(1), json!("rejected")), (json!(2), json!("succeeded"))]);
    }
}

#[test]
fn a_publish_and_all_its_attempts_are_one_trace() {
    let payload = json!({"type": "order.paid", "note": CANARY}).to_string();
    let seen = traced("/v1/events", &payload, None, &[]);
    let request = seen.request("/v1/events");
    assert!(request.parent_span_id.is_empty());
    assert_eq!(attribute(request, "http.response.status_code"), json!(201));
    seen.is_one_trace(request);
    assert!(seen.arrivals[0].header("traceparent").ends_with("-01"));
}

#[test]
fn a_publisher_s_trace_goes_on_and_a_batch_is_one() {
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    let batch = json!({"events": [{"type": "order.paid", "payload": {"n": 1}}]}).to_string();
    let seen = traced("/v1/events/batch", &batch, Some(parent), &[]);
    let request = seen.request("/v1/events/batch");
    assert_eq!(hex(&request.trace_id), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(hex(&request.parent_span_id), "00f067aa0ba902b7");
    seen.is_one_trace(request);
}

#[test]
fn what_is_not_sampled_is_not_sent_whatever_the_caller_wishes() {
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let none = [("TRUNKLINE__TELEMETRY__SAMPLING_RATIO", "0")];
    let seen = traced("/v1/events", "{}", Some(parent), &none);
    assert!(seen.spans.is_empty(), "{:?}", seen.spans);
    // The trace goes on all the same, for those who sample it elsewhere.
    let told = seen.arrivals[0].header("traceparent");
    assert!(told.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && told.ends_with("-00"), "{told}");
}

fn attribute(span: &Span, key: &str) -> Value {
    let value = span.attributes.iter().find(|one| one.key == key).and_then(|one| one.value.clone()?.value);
    match value {
        Some(Any::StringValue(text)) => json!(text),
        Some(Any::IntValue(number)) => json!(number),
        _ => Value::Null,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
