//! One tenant with a million waiting deliveries beside two hundred small ones: what the small ones notice of it.

use std::time::Duration;

use anyhow::Context;

use crate::house::House;
use crate::join::Journey;
use crate::ledger;
use crate::load::{self, Order, Pace, Until};
use crate::percentiles::Percentiles;
use crate::report::{Figures, progress};
use crate::run::Run;
use crate::sink::Sink;

const SMALL: u32 = 200;
const BACKLOG: u64 = 1_000_000;

/// Of all small tenants together, events a second: one each.
const RATE: f64 = 200.0;

pub(super) fn measure(run: &Run, figures: &mut Figures) -> anyhow::Result<()> {
    let sink = Sink::start(run, 0)?;
    let mut house = House::start(run, &sink, SMALL + 1)?;
    let whale = house.tenants.pop().context("the whale is the last tenant")?;
    let backlog = run.count(BACKLOG);
    let mut order = house.order(Pace::PerSecond(RATE), Until::Seconds(run.seconds(20.0)));
    order.warm_up_seconds = 2.0;
    order.ledger = Some(run.folder.join("answered"));

    house.start_worker()?;
    progress(&format!("scale: {SMALL} small tenants alone"));
    let alone = small_tenants(&sink, &order)?;
    house.stop_workers()?;
    progress(&format!("scale: {backlog} deliveries of one tenant are made to wait"));
    house.server.psql(&waiting(&whale.tenant_id, backlog))?;
    house.server.psql("VACUUM (ANALYZE)")?;
    house.start_worker()?;
    progress("scale: the small tenants beside it");
    let beside = small_tenants(&sink, &order)?;
    house.stop()?;

    figures.add_waits("small_tenants_alone", &alone.waits);
    figures.add_waits("small_tenants_beside_whale", &beside.waits);
    figures.add("small_tenants_later_than_2_s", beside.late as f64, "");
    figures.add("whale_delivered_meanwhile", beside.others as f64, "");
    Ok(())
}

/// What came of the small tenants' events.
struct Small {
    /// From answer to arrival.
    waits: Percentiles,
    /// Had not arrived two seconds after the last was published.
    late: usize,
    /// Arrivals that were not theirs.
    others: usize,
}

fn small_tenants(sink: &Sink, order: &Order) -> anyhow::Result<Small> {
    let tally = load::send(order)?;
    let file = order.ledger.as_ref().context("this order keeps a ledger")?;
    let acknowledged = ledger::take(file)?;
    // The whale's deliveries go on arriving, so nothing but time tells that those of the others are over.
    std::thread::sleep(Duration::from_secs(2));
    let arrived = sink.take()?;
    let all = arrived.len();
    let journey = Journey::new(acknowledged, arrived);
    let waits = journey.waits(tally.from_ns, tally.until_ns);
    Ok(Small { waits, late: journey.lost, others: all - journey.trips.len() })
}

fn waiting(tenant_id: &str, backlog: u64) -> String {
    format!(
        "SET synchronous_commit = off;
         CREATE TEMP TABLE waiting AS
         SELECT e.lane, e.tenant_id, e.endpoint_id,
                (lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint), 12, '0') || '7' || substr(m.hash, 1, 3)
                 || '8' || substr(m.hash, 5, 15))::uuid AS event_id
         FROM trunkline.endpoints AS e, (
             SELECT md5(number::text) AS hash FROM generate_series(1, {backlog}) AS number
         ) AS m
         WHERE e.tenant_id = '{tenant_id}';
         INSERT INTO trunkline.events
             (lane, tenant_id, event_id, type, payload_sha256, payload_bytes, created_at, routed)
         SELECT lane, tenant_id, event_id, 'bench.whale', sha256('{{}}'), 2, now(), true FROM waiting;
         INSERT INTO trunkline.payloads (lane, tenant_id, event_id, payload)
         SELECT lane, tenant_id, event_id, '{{}}' FROM waiting;
         INSERT INTO trunkline.deliveries (lane, tenant_id, event_id, endpoint_id, status, due_at, created_at)
         SELECT lane, tenant_id, event_id, endpoint_id, 'PENDING', now(), now() FROM waiting"
    )
}
