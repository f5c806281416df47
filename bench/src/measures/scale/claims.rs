//! What a claim costs the server, while a worker drains a slice of fixed size.

use crate::house::House;
use crate::load::{Pace, Until};
use crate::measures::round::Round;
use crate::report::Figures;
use crate::sink::Sink;

/// The costs of one slice.
pub(super) struct Cost {
    /// Microseconds in the server's claiming statements, planning included, for each delivery; its CPU where it does not count statements.
    pub(super) claim_us: f64,
    postgres_us: f64,
    delivered: f64,
    /// What the server spent most of its time on.
    statement: Option<String>,
}

impl Cost {
    pub(super) fn add_to(&self, figures: &mut Figures, what: &str) {
        figures.add(format!("claim_{what}"), self.claim_us, "us");
        figures.add(format!("postgres_cpu_{what}"), self.postgres_us, "us");
        figures.add(format!("delivered_{what}"), self.delivered, "1/s");
        figures.notes.extend(self.statement.as_ref().map(|statement| format!("{what}: {statement}")));
    }
}

/// Slices; the middle one by claim counts, so that the first, with cold caches, does not.
const SLICES: usize = 3;

/// Has slices drained one after the other.
pub(super) fn measure(house: &mut House<'_>, sink: &Sink, deliveries: u64) -> anyhow::Result<Cost> {
    let mut costs = Vec::with_capacity(SLICES);
    for _ in 0..SLICES {
        costs.push(slice(house, sink, deliveries)?);
    }
    costs.sort_by(|one, other| one.claim_us.total_cmp(&other.claim_us));
    Ok(costs.swap_remove(SLICES / 2))
}

/// Publishes by all tenants in turn, starts a worker, and stops it when all is delivered.
fn slice(house: &mut House<'_>, sink: &Sink, deliveries: u64) -> anyhow::Result<Cost> {
    let counts_statements = house.server.has_statements();
    if counts_statements {
        house.server.psql("SELECT pg_stat_statements_reset()")?;
    }
    let order = house.order(Pace::AsFastAsAnswered, Until::Requests(deliveries));
    let round = Round::take_backlog(house, sink, &order, 1)?;
    house.stop_workers()?;
    let postgres_us = 1e3 * round.per_delivery_ms(round.used.postgres);
    let claim_us = if counts_statements {
        1e3 * house.server.number(CLAIMING_MS)? / round.deliveries()
    } else {
        postgres_us
    };
    let statement = house.top_statements()?.into_iter().next();
    Ok(Cost { claim_us, postgres_us, delivered: round.journey.arrivals_per_second(), statement })
}

/// Whatever way the worker claims, SKIP LOCKED over deliveries is how it is known.
const CLAIMING_MS: &str = "SELECT coalesce(sum(total_exec_time + total_plan_time), 0)
                           FROM pg_stat_statements
                           WHERE query LIKE '%SKIP LOCKED%' AND query LIKE '%trunkline.deliveries%'";
