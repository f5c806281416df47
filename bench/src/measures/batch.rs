//! A hundred events a request.

use crate::house::{House, PAYLOAD_BYTES, TENANTS};
use crate::load::{self, Body, Pace, Until};
use crate::report::{Figures, progress};
use crate::run::Run;
use crate::sink::Sink;

const EVENTS: usize = 100;
const PATH: &str = "/v1/events/batch";

/// A batch is a hundred times as long as an event; so many of them keep the api just as busy.
const CONNECTIONS: usize = 8;

pub(crate) fn measure(run: &Run) -> anyhow::Result<Figures> {
    let sink = Sink::start(run, 0)?;
    let house = House::start(run, &sink, TENANTS)?;
    let mut figures = Figures::new("batch");
    if !is_there(&house) {
        figures.note(format!("not available: this api does not know POST {PATH}"));
        return Ok(figures);
    }
    progress(&format!("batch: {EVENTS} events a request over {CONNECTIONS} connections"));
    let mut order = house.order(Pace::AsFastAsAnswered, Until::Seconds(run.seconds(10.0)));
    order.path = PATH.to_owned();
    order.body = Body::Batch { events: EVENTS, bytes: PAYLOAD_BYTES };
    order.connections = CONNECTIONS;
    order.warm_up_seconds = run.seconds(2.0);
    let tally = load::send(&order)?;
    house.stop()?;
    figures.add("accepted_events", tally.accepted_per_second() * EVENTS as f64, "1/s");
    figures.add("accepted_requests", tally.accepted_per_second(), "1/s");
    figures.add_waits("answer", &tally.answer);
    figures.add("refused", tally.refused as f64, "");
    Ok(figures)
}

/// An empty batch is refused by an api that knows the route, with something else than 404 or 405.
fn is_there(house: &House<'_>) -> bool {
    let (Some(api), Some(tenant)) = (house.apis.first(), house.tenants.first()) else { return false };
    let answer = ureq::post(format!("http://{}{PATH}", api.address))
        .header("authorization", format!("Bearer {}", tenant.key))
        .content_type("application/json")
        .send("{}");
    !matches!(answer, Err(ureq::Error::StatusCode(404 | 405)))
}
