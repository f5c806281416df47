//! What the first page of a tenant's history takes.

use std::time::Instant;

use anyhow::Context;

use crate::house::House;
use crate::percentiles::Percentiles;

const PAGES: usize = 300;

/// Milliseconds for fifty events, newest first, asked one after the other by all tenants in turn.
pub(super) fn median_ms(house: &House<'_>) -> anyhow::Result<f64> {
    let api = house.apis.first().context("pages are served by an api")?.address;
    let agent = ureq::agent();
    let mut waits = Vec::with_capacity(PAGES);
    for tenant in house.tenants.iter().cycle().take(PAGES) {
        let asked = Instant::now();
        let mut answer = agent
            .get(format!("http://{api}/v1/events?limit=50"))
            .header("authorization", format!("Bearer {}", tenant.key))
            .call()?;
        answer.body_mut().read_to_string()?;
        waits.push(asked.elapsed().as_nanos() as u64);
    }
    Ok(Percentiles::of_nanoseconds(waits).p50_ms)
}
