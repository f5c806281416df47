//! Metrics in Prometheus' text format.

use actix_web::HttpResponse;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::sync::OnceLock;
use std::time::Duration;

/// Upper bounds of histogram buckets, in seconds: from an insert (1 ms) to an endpoint's deadline and beyond.
const BUCKETS_SECONDS: [f64; 15] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0];

/// How often samples are folded into buckets when nobody scrapes.
const UPKEEP: Duration = Duration::from_secs(5);

static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();

/// Records what `metrics::counter!` and its kin count from here on. Once per process, however many doors
/// it runs and however often this is called; counts made before the first call are lost.
pub fn record_metrics() {
    let _handle = handle();
}

fn handle() -> &'static PrometheusHandle {
    RECORDER.get_or_init(|| {
        let builder =
            PrometheusBuilder::new().set_buckets(&BUCKETS_SECONDS).expect("the list of buckets is not empty");
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
        handle().run_upkeep();
    }
}

pub(super) async fn answer() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(handle().render())
}
