//! What a claim costs the server, while a worker drains a slice of fixed size.

use crate::house::House;
use crate::load::{Pace, Until};
use crate::measures::round::Round;
use crate::report::Figures;
use crate::sink::Sink;

/// The costs of one slice.
pub(super) struct Cost {
    /// Microseconds in the server's claiming statements for each delivery; its CPU where it does not count statements.
    pub(super) claim_us: f64,
    postgres_us: f64,
    delivered: f64,
}

impl Cost {
    pub(super) fn add_to(&self, figures: &mut Figures, what: &str) {
        figures.add(format!("claim_{what}"), self.claim_us, "us");
        figures.add(format!("postgres_cpu_{what}"), self.postgres_us, "us");
        figures.add(format!("delivered_{what}"), self.delivered, "1/s");
    }
}

/// Publishes a slice by all tenants in turn, starts a worker, and stops it when all is delivered.
pub(super) fn measure(house: &mut House<'_>, sink: &Sink, deliveries: u64) -> anyhow::Result<Cost> {
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
    Ok(Cost { claim_us, postgres_us, delivered: round.journey.arrivals_per_second() })
}

/// Whatever way the worker claims, SKIP LOCKED over deliveries is how it is known.
const CLAIMING_MS: &str = "SELECT coalesce(sum(total_exec_time), 0)
                           FROM pg_stat_statements
                           WHERE query LIKE '%SKIP LOCKED%' AND query LIKE '%trunkline.deliveries%'";
