//! Metrics in Prometheus' text format, or in OpenMetrics for those who ask for it.

mod open_metrics;

use actix_web::http::header::ACCEPT;
use actix_web::{HttpRequest, HttpResponse};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::sync::OnceLock;
use std::time::Duration;

/// Upper bounds of histogram buckets, in seconds: from an insert (1 ms) over an endpoint's deadline to a backlog's hour.
const BUCKETS_SECONDS: [f64; 18] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 300.0,
    3_600.0,
];

/// The same of batches, which have a thousand rows at most.
const BUCKETS_SIZE: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1_024.0];

/// How often samples are folded into buckets when nobody scrapes.
const UPKEEP: Duration = Duration::from_secs(5);

static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();

/// Records what is counted from here on. Once per process, however many doors it runs and however often this is called;
/// the handles of [`crate::metrics`] call it before they count.
pub fn record_metrics() {
    let _handle = handle();
}

fn handle() -> &'static PrometheusHandle {
    RECORDER.get_or_init(|| {
        let seconds = Matcher::Suffix("_seconds".to_owned());
        let builder = PrometheusBuilder::new()
            .set_buckets(&BUCKETS_SIZE)
            .and_then(|builder| builder.set_buckets_for_metric(seconds, &BUCKETS_SECONDS))
            .expect("the lists of buckets are not empty");
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        // An error means that the program embedding us records by itself: then our page stays empty.
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("metrics are recorded elsewhere in this process; /metrics shows none of them");
        }
        handle
    })
}

pub(super) async fn keep_up() {
    loop {
        tokio::time::sleep(UPKEEP).await;
        fold_samples();
    }
}

/// Folds what histograms were given into their buckets. Until then every sample takes up memory.
pub(crate) fn fold_samples() {
    handle().run_upkeep();
}

pub(super) async fn answer(request: HttpRequest) -> HttpResponse {
    let text = handle().render();
    let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if open_metrics::is_preferred(accept) {
        let body = open_metrics::of_prometheus(&text);
        return HttpResponse::Ok().content_type(open_metrics::CONTENT_TYPE).body(body);
    }
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(text)
}
