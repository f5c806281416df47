//! The cost of a claim and of a page of history beside ten thousand, a million and ten million finished events, in one
//! partition and over sixty, and while an old snapshot is held open.

use std::process::Stdio;

use super::{claims, pages, past, spread};
use crate::house::House;
use crate::process::Process;
use crate::report::{Figures, progress};
use crate::run::Run;
use crate::sink::Sink;

const ROWS: [(&str, u64); 3] = [("10k", 10_000), ("1m", 1_000_000), ("10m", 10_000_000)];

/// Whose history it is: one endpoint each.
const TENANTS: u32 = 100;

/// Days over which the history is spread; each has a partition. Of one day, everything is in one partition.
const DAYS: [u32; 2] = [1, 60];

pub(super) fn measure(run: &Run, figures: &mut Figures) -> anyhow::Result<()> {
    // The largest takes minutes to fill.
    let rows = if run.is_quick { &ROWS[..2] } else { &ROWS[..] };
    if run.is_quick {
        figures.note("quick: without the 10 million rows");
    }
    let mut claim_spread: f64 = 1.0;
    let mut page_spread: f64 = 1.0;
    for days in DAYS {
        let sink = Sink::start(run, 0)?;
        let mut house = House::start(run, &sink, TENANTS)?;
        past::make_partitions(&house.server, days)?;
        let (mut claims_us, mut pages_ms, mut there) = (Vec::new(), Vec::new(), 0);
        for (name, wanted) in rows {
            progress(&format!("scale: {wanted} finished events over {days} partitions"));
            past::fill(&house.server, there..*wanted, days)?;
            there = *wanted;
            let what = format!("{name}_rows_{days}_partitions");
            let cost = claims::measure(&mut house, &sink, run.count(20_000))?;
            cost.add_to(figures, &what);
            claims_us.push(cost.claim_us);
            let page_ms = pages::median_ms(&house)?;
            figures.add(format!("page_{what}"), page_ms, "ms");
            pages_ms.push(page_ms);
        }
        claim_spread = claim_spread.max(spread(&claims_us));
        page_spread = page_spread.max(spread(&pages_ms));

        progress("scale: the same while an old snapshot is held open");
        let snapshot = hold_snapshot(&house)?;
        // What it keeps from being cleaned away has to come into being first.
        claims::measure(&mut house, &sink, run.count(20_000))?;
        let cost = claims::measure(&mut house, &sink, run.count(20_000))?;
        cost.add_to(figures, &format!("old_snapshot_{days}_partitions"));
        claims_us.push(cost.claim_us);
        figures.add(format!("claim_spread_old_snapshot_{days}_partitions"), spread(&claims_us), "x");
        drop(snapshot);
        house.stop()?;
    }
    figures.add("claim_spread", claim_spread, "x");
    figures.add("page_spread", page_spread, "x");
    Ok(())
}

/// A session that has looked once and keeps what it saw.
fn hold_snapshot(house: &House<'_>) -> anyhow::Result<Process> {
    let mut command = house.server.client("psql")?;
    let statements = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1; SELECT pg_sleep(86400)";
    command
        .args(["-X", "-q", "-c", statements])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let process = Process::start("psql", &mut command, &house.run.guard)?;
    let is_held = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND backend_xmin IS NOT NULL
                   AND pid <> pg_backend_pid())";
    while house.server.psql(is_held)? != "t" {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    Ok(process)
}
