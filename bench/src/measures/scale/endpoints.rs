//! The same number of deliveries, dealt out over ten to ten thousand endpoints.

use super::claims;
use crate::house::House;
use crate::report::{Figures, progress};
use crate::run::Run;
use crate::sink::Sink;

const ENDPOINTS: [u32; 4] = [10, 100, 1_000, 10_000];

pub(super) fn measure(run: &Run, figures: &mut Figures) -> anyhow::Result<()> {
    let sizes = if run.is_quick { &ENDPOINTS[..3] } else { &ENDPOINTS[..] };
    let sink = Sink::start(run, 0)?;
    let mut house = House::start(run, &sink, 0)?;
    for endpoints in sizes {
        progress(&format!("scale: {endpoints} endpoints"));
        let there = u32::try_from(house.tenants.len())?;
        house.add_tenants(&sink, endpoints - there)?;
        let cost = claims::measure(&mut house, &sink, run.count(20_000))?;
        cost.add_to(figures, &format!("{endpoints}_endpoints"));
    }
    house.stop()
}
