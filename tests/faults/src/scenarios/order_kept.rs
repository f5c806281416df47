//! Events with ordering keys, published through two apis, delivered by two workers; apis and workers are killed all the time, and the
//! apis' clocks lie two hours apart. Each key arrives in the order of its acknowledgements: what comes again after a kill comes before
//! the next is let go.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rand::RngExt;

use super::clock_skewed::{library, skew};
use super::traffic::{EVENTS_MIN, PATH};
use crate::house::{Door, House, execute};
use crate::publisher::{Load, Publisher};
use crate::sink::{Arrival, Behaviour};
use crate::trial::Trial;
use crate::verdict::Came;

const EVERY: Duration = Duration::from_secs(2);

/// So long the sink takes at most: others come meanwhile and must wait.
const SINK_TAKES: Duration = Duration::from_millis(60);

const HELD: &str = "SELECT count(*) FROM trunkline.deliveries WHERE held";

pub(super) async fn run(trial: &mut Trial) -> anyhow::Result<()> {
    let kills = trial.pick(15, 30);
    let library = library()?;
    let mut house = House::furnished(&trial.folder, &trial.programs, 0, 2).await?;
    for shift in ["+1h", "-1h"] {
        house.start(Door::Api, |role| skew(role, &library, shift)).await?;
    }
    let tenant = house.tenant("publisher", PATH).await?;
    let mut connection = house.database.connect().await?;
    execute(&mut connection, "UPDATE trunkline.endpoints SET ordered = true").await?;
    house.sink.behave(PATH, Behaviour::Good(SINK_TAKES));
    // Without a key nobody would know which of two tries came first.
    let load = Load { publishers: 64, keyed_of_three: 3, is_ordered: true, ..trial.load() };
    let ledger = trial.ledger("publisher")?;
    let publisher = Publisher::start(house.apis_in_turn(), &tenant.api_key, ledger.clone(), load.clone());
    let (mut in_flight, mut held) = (0, 0);
    for _ in 0..kills {
        trial.wait_about(EVERY).await;
        held = held.max(house.database.number(HELD).await?);
        let victim = trial.random.random_range(0..4);
        in_flight += kill(&mut house, victim).await?;
    }
    trial.report.note(format!("{kills} kills"));
    publisher.until_acknowledged(EVENTS_MIN, Duration::from_secs(300)).await?;
    publisher.stop().await?;
    trial.until_drained(&house, Instant::now()).await?;
    let (entries, arrivals) = (ledger.entries(), house.sink.arrivals());
    trial.report.at_least("acknowledged", entries.acknowledged.len() as u64, EVENTS_MIN as u64);
    trial.judge("sink", &entries, &Came::at_sink(&arrivals, PATH, load.padding), in_flight);
    trial.report.at_least("held back at one time", held, 1);
    trial.report.exactly("arrivals out of order", out_of_order(&load, &arrivals), 0);
    trial.report.exactly("deliveries whose attempts do not add up", house.database.miscounted().await?, 0);
    house.close().await
}

async fn kill(house: &mut House, victim: usize) -> anyhow::Result<u64> {
    let in_flight = if victim < 2 { 0 } else { house.freeze_and_count().await? };
    let process = if victim < 2 { &mut house.apis[victim] } else { &mut house.workers[victim - 2] };
    process.kill().await?;
    process.start()?;
    house.thaw()?;
    Ok(in_flight)
}

/// How many came after a later one of the same key.
fn out_of_order(load: &Load, arrivals: &[Arrival]) -> u64 {
    let mut last_of: HashMap<u64, u64> = HashMap::new();
    let numbers = arrivals.iter().filter(|arrival| arrival.path == PATH).filter_map(|arrival| arrival.number);
    numbers
        .filter(|number| {
            let last = last_of.entry(load.stream_of(*number)).or_insert(*number);
            let is_late = number < last;
            *last = (*last).max(*number);
            is_late
        })
        .count() as u64
}
