//! What most scenarios have in common: two tenants publish all the time, one to the sink, one to the reference
//! consumer, and at the end the ledgers are compared.

use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::house::{Door, House, Tenant};
use crate::ledger::Ledger;
use crate::publisher::{Figures, Load, Publisher};
use crate::rotation::Rotation;
use crate::sink::Behaviour;
use crate::trial::Trial;
use crate::verdict::Came;

/// R1: "of >= 10,000 acknowledged events per run".
pub(crate) const EVENTS_MIN: usize = 10_000;

/// The sink's path.
pub(crate) const PATH: &str = "/hook";

/// The reference consumer is slower than the sink, since it keeps what it got: it has the smaller share.
const SHARE_OF_RECEIVER: u32 = 4;

/// So long the sink takes at most: enough for attempts to be in flight at every moment.
const SINK_TAKES: Duration = Duration::from_millis(60);

/// Two tenants who publish.
pub(crate) struct Traffic {
    to_sink: Stream,
    to_receiver: Option<Stream>,
    load: Load,
}

struct Stream {
    tenant: Tenant,
    ledger: Ledger,
    publisher: Publisher,
}

impl Traffic {
    /// Starts the reference consumer and both publishers.
    pub(crate) async fn start(trial: &Trial, house: &mut House, load: Load) -> anyhow::Result<Self> {
        house.start(Door::Receiver, |_| {}).await?;
        let url = format!("http://127.0.0.1:{}/consumer/webhook", house.receivers[0].role.port);
        let consumer = house.tenant_at("consumer", &url).await?;
        let share = Load { rate: load.rate / SHARE_OF_RECEIVER, publishers: 4, ..load.clone() };
        let to_receiver = Some(Stream::start(trial, house.apis_in_turn(), consumer, share)?);
        Ok(Self { to_receiver, ..Self::to_sink(trial, house, load).await? })
    }

    /// Starts the one to the sink alone.
    pub(crate) async fn to_sink(trial: &Trial, house: &House, load: Load) -> anyhow::Result<Self> {
        Self::to_sink_by(trial, house, load, house.apis_in_turn()).await
    }

    /// The same by another way to the apis.
    pub(crate) async fn to_sink_by(
        trial: &Trial,
        house: &House,
        load: Load,
        rotation: Rotation,
    ) -> anyhow::Result<Self> {
        house.sink.behave(PATH, Behaviour::Good(SINK_TAKES));
        let tenant = house.tenant("publisher", PATH).await?;
        let to_sink = Stream::start(trial, rotation, tenant, load.clone())?;
        Ok(Self { to_sink, to_receiver: None, load })
    }

    /// Goes on publishing until enough is acknowledged.
    pub(crate) async fn until_enough(&self) -> anyhow::Result<()> {
        self.to_sink.publisher.until_acknowledged(EVENTS_MIN, Duration::from_secs(300)).await
    }

    /// Waits until a request that was made from now on is answered with 201; returns how long that took.
    pub(crate) async fn until_accepted_again(&self) -> anyhow::Result<Duration> {
        let since = Instant::now();
        while self.figures().accepted.last().is_none_or(|last| last.asked < since) {
            ensure!(since.elapsed() < Duration::from_secs(60), "nothing is accepted any more");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(since.elapsed())
    }

    /// Waits until so many more are accepted.
    pub(crate) async fn until_accepted_more(&self, count: usize) -> anyhow::Result<()> {
        let (since, before) = (Instant::now(), self.figures().accepted.len());
        while self.figures().accepted.len() < before + count {
            ensure!(since.elapsed() < Duration::from_secs(60), "hardly anything is accepted any more");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// What the publisher to the sink saw until now.
    pub(crate) fn figures(&self) -> Figures {
        self.to_sink.publisher.figures()
    }

    /// Stops publishing, the faults being over, waits until all is delivered, and compares the ledgers.
    /// `in_flight_at_kills` bounds the duplicates.
    pub(crate) async fn settle(
        self,
        trial: &mut Trial,
        house: &House,
        in_flight_at_kills: u64,
    ) -> anyhow::Result<Figures> {
        let figures = self.to_sink.publisher.stop().await?;
        let received = match self.to_receiver {
            Some(stream) => {
                stream.publisher.stop().await?;
                Some((stream.tenant, stream.ledger.entries()))
            }
            None => None,
        };
        trial.until_drained(house, Instant::now()).await?;
        let entries = self.to_sink.ledger.entries();
        trial.report.at_least("acknowledged", entries.acknowledged.len() as u64, EVENTS_MIN as u64);
        let came = Came::at_sink(&house.sink.arrivals(), PATH, self.load.padding);
        trial.judge("sink", &entries, &came, in_flight_at_kills);
        if let Some((tenant, entries)) = received {
            let came = receipts(house, &tenant).await?;
            trial.judge("receiver", &entries, &came, in_flight_at_kills);
        }
        trial.report.exactly(
            "deliveries whose attempts do not add up",
            house.database.miscounted().await?,
            0,
        );
        trial.report.note(format!("answers {}, replayed by key {}", figures.tally(), figures.replayed));
        Ok(figures)
    }
}

impl Stream {
    fn start(trial: &Trial, rotation: Rotation, tenant: Tenant, load: Load) -> anyhow::Result<Self> {
        let ledger = trial.ledger(&tenant.tenant_id)?;
        let publisher = Publisher::start(rotation, &tenant.api_key, ledger.clone(), load);
        Ok(Self { tenant, ledger, publisher })
    }
}

/// What the reference consumer noted. Each id is there once, however often it came: that is its promise of no second
/// effect, and the primary key of its table.
async fn receipts(house: &House, tenant: &Tenant) -> anyhow::Result<Vec<Came>> {
    let sql = format!(
        "SELECT webhook_id, duplicates::text FROM trunkline.receipts WHERE tenant_id = '{}'",
        tenant.tenant_id
    );
    let mut came = Vec::new();
    for row in house.database.rows(&sql).await? {
        let times = row[1].parse::<usize>()? + 1;
        for _ in 0..times {
            came.push(Came { event_id: row[0].clone(), number: None, is_intact: true });
        }
    }
    Ok(came)
}
