//! Every connection but the session's own goes through PgBouncer in transaction mode.

use super::traffic::Traffic;
use crate::house::{Door, House, PgBouncer};
use crate::trial::Trial;

pub(super) async fn run(trial: &mut Trial) -> anyhow::Result<()> {
    let mut house = House::open(&trial.folder, &trial.programs, &[]).await?;
    let pooler = PgBouncer::start(&house.server).await?;
    let (pooled, direct) = (house.database.url_at(pooler.port), house.database.url().to_owned());
    for door in [Door::Api, Door::Api, Door::Worker, Door::Worker] {
        let through_pooler = |role: &mut crate::house::Role| {
            role.set("DATABASE_URL", &pooled);
            role.set("TRUNKLINE__DATABASE__SESSION_URL", &direct);
        };
        house.start(door, through_pooler).await?;
    }
    let traffic = Traffic::to_sink(trial, &house, trial.load()).await?;
    traffic.until_enough().await?;
    let figures = traffic.settle(trial, &house, 0).await?;
    trial.report.exactly("answers other than 201", figures.other_than(&[]), 0);
    house.close().await
}
