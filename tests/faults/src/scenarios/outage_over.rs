//! An endpoint is back after a long outage, with 10,000 waiting: they come at its pace, not all at once.

use std::time::{Duration, Instant};

use crate::house::{Door, ENDPOINT_CONCURRENCY, House};
use crate::publisher::{Load, Publisher};
use crate::sink::Behaviour;
use crate::trial::Trial;
use crate::verdict::{Came, judge};

const PATH: &str = "/back";
const BACKLOG: u64 = 10_000;

/// How long the probe is left without an answer: less than the time-out of [`House`]'s attempts.
const PROBED_FOR: Duration = Duration::from_millis(500);

/// Each wait is its nominal length times a uniform factor in [0.8, 1.2]: of thousands, some lie near both ends.
const FACTORS: &str = "SELECT
        floor(100 * min(extract(epoch FROM d.due_at - a.ended_at)) / 2)::bigint,
        ceil(100 * max(extract(epoch FROM d.due_at - a.ended_at)) / 2)::bigint
    FROM trunkline.deliveries AS d
    CROSS JOIN LATERAL (
        SELECT started_at + duration_ms * interval '1 ms' AS ended_at
        FROM trunkline.attempts
        WHERE lane = d.lane AND tenant_id = d.tenant_id AND event_id = d.event_id AND attempt = d.attempts
    ) AS a
    WHERE d.status = 'FAILED' AND d.due_at IS NOT NULL AND d.lease IS NULL";

pub(super) async fn run(trial: &mut Trial) -> anyhow::Result<()> {
    let outage = Duration::from_secs(trial.pick(10, 30));
    let house = &mut House::open(&trial.folder, &trial.programs, &[]).await?;
    house.start(Door::Api, |_| {}).await?;
    let schedule = ["2s"; 30].join(",");
    for _ in 0..2 {
        house.start(Door::Worker, |role| role.set("TRUNKLINE__DELIVERY__RETRY_SCHEDULE", &schedule)).await?;
    }
    house.sink.behave(PATH, Behaviour::Status(500));
    let tenant = house.tenant("publisher", PATH).await?;
    let ledger = trial.ledger("publisher")?;
    let load = Load { rate: 0, publishers: 32, events_max: BACKLOG, ..Load::default() };
    let began = Instant::now();
    Publisher::start(house.apis_in_turn(), &tenant.api_key, ledger.clone(), load.clone()).finish().await?;
    tokio::time::sleep(outage.saturating_sub(began.elapsed())).await;

    let factors = house.database.rows(FACTORS).await?.remove(0);
    let (least, most) = (factors[0].parse::<u64>()?, factors[1].parse::<u64>()?);
    trial.report.note(format!("{} attempts during the outage", house.sink.count(PATH)));
    // The breaker leaves a dozen attempts, of which the extremes may be missing; that they lie this close together by chance is
    // one in a hundred thousand.
    trial.report.at_least("longest less shortest wait, % of their length", most.saturating_sub(least), 10);

    // The first is a probe: until it has been answered nothing else may come.
    house.sink.behave(PATH, Behaviour::Hang);
    house.sink.until_open(PATH, 1).await?;
    let before = house.sink.count(PATH);
    tokio::time::sleep(PROBED_FOR).await;
    trial.report.exactly("beside the probe", (house.sink.count(PATH) - before) as u64, 0);
    house.sink.behave(PATH, Behaviour::Good(Duration::from_millis(40)));
    let back = Instant::now();
    trial.until_drained(house, back).await?;
    let came = house.sink.count(PATH) - before;
    trial.report.note(format!("{came} came in {:.1} s", back.elapsed().as_secs_f64()));
    // Exact, over any number of workers.
    trial.report.at_most("at one time", house.sink.open(PATH).1 as u64, ENDPOINT_CONCURRENCY);
    let entries = ledger.entries();
    trial.report.at_least("acknowledged", entries.acknowledged.len() as u64, BACKLOG * 99 / 100);
    // Failed attempts arrive as well, so that nothing can be said about duplicates.
    let verdict = judge(&entries, &Came::at_sink(&house.sink.arrivals(), PATH, load.padding));
    trial.report.exactly("lost", verdict.lost, 0);
    trial.report.exactly("unexpected", verdict.unexpected, 0);
    let delivered = "SELECT count(*) FROM trunkline.deliveries WHERE status <> 'DELIVERED'";
    trial.report.exactly("not delivered", house.database.number(delivered).await?, 0);
    house.close().await
}
