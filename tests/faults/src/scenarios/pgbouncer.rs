//! Every connection but the workers' sessions goes through PgBouncer in transaction mode, set up as its package does: it knows
//! nothing of statements prepared by name, and refuses to set anything for a session.

use std::time::Duration;

use trunkline_testkit::PgBouncer;

use super::traffic::Traffic;
use super::worker_killed;
use crate::house::{Door, House, free_port};
use crate::trial::Trial;

/// Between two kills.
const EVERY: Duration = Duration::from_secs(2);

pub(super) async fn run(trial: &mut Trial) -> anyhow::Result<()> {
    let mut house = House::open(&trial.folder, &trial.programs, &[]).await?;
    // Fewer connections than the doors have, so that each goes from hand to hand.
    let (folder, sizes) = (trial.folder.join("pgbouncer"), [("default_pool_size", "10")]);
    let pooler = PgBouncer::start(house.database.url(), free_port()?, &folder, &sizes).await?;
    let direct = house.database.url().to_owned();
    house.tell("DATABASE_URL", pooler.url());
    house.tell("TRUNKLINE__DATABASE__SESSION_URL", &direct);
    house.start(Door::Api, |_| {}).await?;
    worker_killed::kill_one_for_another(trial, &mut house).await?;
    house.start(Door::Api, |_| {}).await?;
    house.workers[0].start_ready().await?;

    let traffic = Traffic::start(trial, &mut house, trial.load()).await?;
    let mut in_flight = 0;
    for victim in [0, 1] {
        trial.wait_about(EVERY).await;
        in_flight += house.freeze_and_count().await?;
        house.workers[victim].kill().await?;
        house.workers[victim].start()?;
        house.thaw()?;
    }
    traffic.until_enough().await?;
    let through = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'trunkline' AND usename = current_user";
    trial.report.note(format!("{} connections of the server in use", house.database.number(through).await?));
    let figures = traffic.settle(trial, &house, in_flight).await?;
    trial.report.exactly("answers other than 201", figures.other_than(&[]), 0);
    house.close().await
}
