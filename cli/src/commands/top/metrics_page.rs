//! What one process tells on its `/metrics`.

use std::time::Duration;

use serde::Serialize;

use crate::failure::Failure;

/// A listener that is there answers sooner.
const PATIENCE: Duration = Duration::from_secs(2);

/// How much of a page is read; ours has some 60 kB.
const PAGE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// What is shown of a process, in a person's words.
const SHOWN: [(&str, &str); 9] = [
    ("attempts under way", "trunkline_worker_attempts_under_way"),
    ("lanes", "trunkline_worker_lanes"),
    ("breakers open", "trunkline_worker_breakers{state=\"open\"}"),
    ("attempts", "trunkline_worker_attempts_total"),
    ("dead letters", "trunkline_worker_dead_letters_total"),
    ("leases lost", "trunkline_worker_leases_lost_total"),
    ("events published", "trunkline_api_events_published_total"),
    ("events waiting to be written", "trunkline_api_ingest_queue"),
    ("events refused, too many waiting", "trunkline_api_ingest_refused_total"),
];

/// A page of metrics.
pub(super) struct MetricsPage(String);

/// What one process says of itself since it started.
#[derive(Debug, Serialize)]
pub(super) struct Process {
    pub(super) url: String,
    pub(super) figures: Vec<(&'static str, f64)>,
}

impl MetricsPage {
    /// Asks the admin listener at `url`.
    ///
    /// # Errors
    /// [`Failure::Unavailable`] when it does not answer.
    pub(super) async fn get(url: &str) -> anyhow::Result<Self> {
        let page = format!("{}/metrics", url.trim_end_matches('/'));
        let (asked, shown) = (page.clone(), page);
        let got = tokio::task::spawn_blocking(move || {
            let config = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).proxy(None).build();
            let mut answer = ureq::Agent::from(config).get(&asked).call()?;
            answer.body_mut().with_config().limit(PAGE_BYTES_MAX).read_to_string()
        });
        match got.await? {
            Ok(text) => Ok(Self(text)),
            Err(error) => Err(Failure::Unavailable(format!("{shown} does not answer: {error}")).into()),
        }
    }

    /// What is shown of it; what the process does not count is left out.
    pub(super) fn process(&self, url: &str) -> Process {
        let figures = SHOWN.iter().filter_map(|(name, series)| Some((*name, self.sum(series)?)));
        Process { url: url.to_owned(), figures: figures.collect() }
    }

    /// The sum of a metric's series, or the value of one series; `None` if there is none.
    fn sum(&self, series: &str) -> Option<f64> {
        let values = self.0.lines().filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            let is_meant =
                name == series || name.strip_prefix(series).is_some_and(|rest| rest.starts_with('{'));
            is_meant.then(|| value.parse::<f64>().ok()).flatten()
        });
        values.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_added_up_and_others_with_the_same_beginning_are_not() {
        let text = "# TYPE a counter\na{x=\"1\"} 2\na{x=\"2\"} 3\na_more 7\nb{state=\"open\"} 4\nb{state=\"closed\"} 9\n";
        let page = MetricsPage(text.to_owned());
        assert_eq!((page.sum("a"), page.sum("a_more"), page.sum("c")), (Some(5.0), Some(7.0), None));
        assert_eq!(page.sum("b{state=\"open\"}"), Some(4.0));
    }
}
