//! What is to be reached, as ratios within one run wherever the machine matters, and whether it was.

use serde::Serialize;

use crate::report::{Figures, number};

/// A goal and what was found.
#[derive(Serialize)]
pub(crate) struct Verdict {
    goal: &'static str,
    wanted: String,
    /// `None`: it was not measured.
    measured: Option<f64>,
    unit: &'static str,
    holds: Option<bool>,
}

enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

use Bound::{AtLeast, AtMost};

/// Goal, measure, figure, bound, unit.
const GOALS: [(&str, &str, &str, Bound, &str); 16] = [
    ("ingest, share of the bare handler", "ingest", "share_of_bare_handler", AtLeast(35.0), "%"),
    ("drain, share of the worker's client", "drain", "share_of_client", AtLeast(50.0), "%"),
    ("drain, acknowledged and lost", "drain", "lost", AtMost(0.0), ""),
    ("drain, delivered twice", "drain", "duplicates", AtMost(0.0), ""),
    (
        "sustained, share of load into the sink",
        "sustained",
        "share_of_straight_into_sink",
        AtLeast(10.0),
        "%",
    ),
    ("CPU of api, worker and PostgreSQL per event", "sustained", "cpu_per_event_at_100", AtMost(0.15), "ms"),
    ("WAL per event, payload apart", "sustained", "wal_per_event_at_100", AtMost(2_200.0), "B"),
    ("201 to arrival at 200/s, median", "idle", "201_to_arrival_at_200_p50", AtMost(2.0), "ms"),
    ("201 to arrival at 200/s, p99", "idle", "201_to_arrival_at_200_p99", AtMost(10.0), "ms"),
    ("api and worker under full load", "footprint", "together_under_load", AtMost(64.0), "MiB"),
    ("api, start to first answer", "footprint", "api_start", AtMost(200.0), "ms"),
    ("worker, start to first answer", "footprint", "worker_start", AtMost(200.0), "ms"),
    ("a claim beside more history, spread", "scale", "claim_spread", AtMost(1.5), "x"),
    ("a page beside more history, spread", "scale", "page_spread", AtMost(1.5), "x"),
    (
        "a claim under an old snapshot, spread",
        "scale",
        "claim_spread_old_snapshot_1_partitions",
        AtMost(1.5),
        "x",
    ),
    ("the same over 60 partitions", "scale", "claim_spread_old_snapshot_60_partitions", AtMost(1.5), "x"),
];

/// Lays every goal beside what was found.
pub(crate) fn judge(found: &[Figures]) -> Vec<Verdict> {
    let value = |measure: &str, figure: &str| {
        found.iter().find(|figures| figures.measure == measure).and_then(|figures| figures.value(figure))
    };
    let mut verdicts: Vec<Verdict> = GOALS
        .iter()
        .map(|(goal, measure, figure, bound, unit)| verdict(goal, value(measure, figure), bound, unit))
        .collect();
    // The only goal that is another figure.
    if let Some(drain) = value("drain", "delivered") {
        let fanout = value("fanout", "delivered");
        verdicts.push(verdict(
            "fan-out 10, deliveries: at least the drain rate",
            fanout,
            &AtLeast(drain),
            "1/s",
        ));
    }
    verdicts
}

/// As people read it.
pub(crate) fn table(verdicts: &[Verdict]) -> String {
    let mut text = format!("{:<48} {:>14} {:>12} {:<4} holds\n", "goal", "wanted", "measured", "");
    for Verdict { goal, wanted, measured, unit, holds } in verdicts {
        let measured = measured.map_or_else(|| "-".to_owned(), number);
        let holds = match holds {
            Some(true) => "yes",
            Some(false) => "no",
            None => "not measured",
        };
        text += &format!("{goal:<48} {wanted:>14} {measured:>12} {unit:<4} {holds}\n");
    }
    text
}

fn verdict(goal: &'static str, measured: Option<f64>, bound: &Bound, unit: &'static str) -> Verdict {
    let (wanted, holds) = match bound {
        AtLeast(least) => (format!(">= {}", number(*least)), measured.map(|value| value >= *least)),
        AtMost(most) => (format!("<= {}", number(*most)), measured.map(|value| value <= *most)),
    };
    Verdict { goal, wanted, measured, unit, holds }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_holds_fails_or_was_not_measured() {
        let mut drain = Figures::new("drain");
        drain.add("share_of_client", 50.0, "%");
        drain.add("duplicates", 1.0, "");
        drain.add("delivered", 8_000.0, "1/s");
        let mut fanout = Figures::new("fanout");
        fanout.add("delivered", 7_999.0, "1/s");
        let verdicts = judge(&[drain, fanout]);
        let holds =
            |goal: &str| verdicts.iter().find(|verdict| verdict.goal.starts_with(goal)).unwrap().holds;
        assert_eq!(holds("drain, share"), Some(true));
        assert_eq!(holds("drain, delivered twice"), Some(false));
        assert_eq!(holds("ingest"), None);
        assert_eq!(holds("fan-out"), Some(false));
        assert!(table(&verdicts).lines().count() == GOALS.len() + 2);
    }
}
