//! Everything an api counts, on one page.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Duration;

use actix_web::http::Method;
use trunkline_boot::metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

/// Made at the first use, and never again: what counts holds its counter.
pub(crate) static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

/// Methods that have a series of their own. A client may invent others.
static METHODS: [Method; 6] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

pub(crate) struct Metrics {
    pub(crate) published: Counter,
    pub(crate) publish_seconds: Histogram,
    pub(crate) overloaded: Counter,
    pub(crate) panics: Counter,
    pub(crate) failed_logins_throttled: Counter,
    pub(crate) plain: QueueMetrics,
    pub(crate) filtered: QueueMetrics,
    pub(crate) keyed: QueueMetrics,
    pub(crate) together: QueueMetrics,
}

/// One of the ways into the database.
pub(crate) struct QueueMetrics {
    /// Events that wait.
    pub(crate) length: Gauge,
    /// Events written together.
    pub(crate) batch: Histogram,
    /// How long that took.
    pub(crate) seconds: Histogram,
}

impl Metrics {
    fn new() -> Self {
        Self {
            published: counter(
                "trunkline_api_events_published_total",
                "Events accepted, those included whose Idempotency-Key was known",
                &[],
            ),
            publish_seconds: histogram(
                "trunkline_api_publish_seconds",
                "From the head of a publish to its commit; those that were stored",
                &[],
            ),
            overloaded: counter(
                "trunkline_api_ingest_refused_total",
                "Events refused because too many wait to be written",
                &[],
            ),
            panics: counter(
                "trunkline_api_panics_total",
                "Actions and parts of the api whose code panicked; parts begin again",
                &[],
            ),
            failed_logins_throttled: counter(
                "trunkline_api_failed_logins_throttled_total",
                "Requests refused because too many with wrong keys had come from their address",
                &[],
            ),
            plain: QueueMetrics::new("plain"),
            filtered: QueueMetrics::new("filtered"),
            keyed: QueueMetrics::new("keyed"),
            together: QueueMetrics::new("together"),
        }
    }
}

impl QueueMetrics {
    fn new(queue: &'static str) -> Self {
        let labels = [("queue", queue)];
        Self {
            length: gauge(
                "trunkline_api_ingest_queue",
                "Events that came while a batch was written, and wait for the next",
                &labels,
            ),
            batch: histogram("trunkline_api_ingest_batch", "Events that were written together", &labels),
            seconds: histogram("trunkline_api_ingest_seconds", "How long writing a batch took", &labels),
        }
    }

    /// Takes note of a batch that was written, whatever came of it, and of how many wait by now.
    pub(crate) fn note(&self, events: usize, took: Duration, waiting: usize) {
        self.batch.record(events as f64);
        self.seconds.record(took.as_secs_f64());
        self.length.set(waiting as f64);
    }
}

/// The series of one route, method and status.
#[derive(Clone)]
struct Answered {
    count: Counter,
    seconds: Histogram,
}

thread_local! {
    // Each thread keeps those that it has met, as many at most as there are routes, methods and statuses.
    static ANSWERED: RefCell<HashMap<(String, usize, u16), Answered>> = RefCell::default();
}

/// Counts an answer. `route` is a pattern of ours, never a path.
pub(crate) fn count_answer(route: String, method: &Method, status: u16, took: Duration) {
    let known = METHODS.iter().position(|one| one == method).unwrap_or(METHODS.len());
    ANSWERED.with_borrow_mut(|answered| {
        let key = (route, known, status);
        if !answered.contains_key(&key) {
            let series = Answered::new(&key.0, METHODS.get(known).map_or("other", Method::as_str), status);
            answered.insert(key.clone(), series);
        }
        if let Some(series) = answered.get(&key) {
            series.count.increment(1);
            series.seconds.record(took.as_secs_f64());
        }
    });
}

impl Answered {
    fn new(route: &str, method: &str, status: u16) -> Self {
        Self {
            count: counter(
                "trunkline_api_requests_total",
                "Requests answered",
                &[("route", route), ("method", method), ("status", status.to_string().as_str())],
            ),
            seconds: histogram(
                "trunkline_api_request_seconds",
                "From the head of a request to the head of its answer",
                &[("method", method)],
            ),
        }
    }
}
