//! The scenarios, one file each.

mod answer_cut;
mod clock_skewed;
mod dead_endpoints;
mod disk_full;
mod graceful_stop;
mod hanging_endpoint;
mod hanging_tenant;
mod hostile_answers;
mod kill_everything;
mod kill_random;
mod late_outcome;
mod narrow_limits;
mod neighbours;
mod notifications_lost;
mod old_snapshot;
mod order_kept;
mod outage_over;
mod overload;
mod pgbouncer;
mod poisoned_delivery;
mod pool_exhausted;
mod postgres_immediate;
mod rolling_release;
mod rows_locked;
mod standby_promoted;
mod traffic;
mod worker_cut;
mod worker_killed;

use futures_util::future::BoxFuture;

use crate::trial::Trial;

/// A way to break the house, and what must hold all the same.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// The promises of it that are counted, such as `R1 R2`.
    pub(crate) promises: &'static str,
    pub(crate) about: &'static str,
    pub(crate) run: for<'a> fn(&'a mut Trial) -> BoxFuture<'a, anyhow::Result<()>>,
}

macro_rules! scenario {
    ($name:literal, $promises:literal, $about:literal, $run:path) => {
        Scenario { name: $name, promises: $promises, about: $about, run: |trial| Box::pin($run(trial)) }
    };
}

/// All, in the order in which they run.
#[rustfmt::skip]
pub(crate) const ALL: &[Scenario] = &[
    scenario!("kill_random", "R1 R2", "kill -9 of a random api, worker or receiver every 2 s", kill_random::run),
    scenario!("order_kept", "R1 R2", "kill -9 of a random api or worker while every event has an ordering key", order_kept::run),
    scenario!("kill_everything", "R1 R2 R3", "kill -9 of everything, PostgreSQL included", kill_everything::run),
    scenario!("answer_cut", "R1 R2", "connections cut between COMMIT and its answer", answer_cut::run),
    scenario!("postgres_immediate", "R1 R2 R3", "PostgreSQL stopped -m immediate over and over, then away for 10 s", postgres_immediate::run),
    scenario!("standby_promoted", "R1 R2 R3", "PostgreSQL lost for good; its synchronous standby is promoted", standby_promoted::run),
    scenario!("worker_frozen", "R2 R3", "a worker stopped for three leases, then continued", late_outcome::of_frozen_worker),
    scenario!("outcome_late", "R2 R3", "an outcome on its way to PostgreSQL for longer than its lease", late_outcome::held_by_network),
    scenario!("worker_cut_silently", "R1 R2 R3", "a worker cut off from PostgreSQL without a word", worker_cut::silently),
    scenario!("worker_cut_for_good", "R1 R2 R3", "a worker's connections to PostgreSQL starve for ever, new ones work", worker_cut::for_good),
    scenario!("worker_cut_by_reset", "R1 R2 R3", "a worker cut off from PostgreSQL by RST", worker_cut::by_reset),
    scenario!("worker_killed", "R2 R3", "a worker killed with attempts in flight", worker_killed::with_attempts_in_flight),
    scenario!("worker_killed_in_claim", "R2 R3", "a worker killed while its claim statement runs", worker_killed::in_its_claim),
    scenario!("worker_killed_unaware", "R2 R3", "a worker killed after its claim committed, before it knew", worker_killed::before_it_knows),
    scenario!("hanging_endpoint", "R4", "one endpoint hangs with a backlog of 10,000", hanging_endpoint::run),
    scenario!("hanging_tenant", "R4", "twenty endpoints of a tenant that always worked hang at once, with large payloads", hanging_tenant::known),
    scenario!("hanging_tenant_unknown", "R4", "the same of endpoints that were never called before", hanging_tenant::unknown),
    scenario!("rows_locked", "R4", "somebody holds row locks on what is due first", rows_locked::run),
    scenario!("dead_endpoints", "R4", "1,000 dead endpoints of four kinds beside good ones", dead_endpoints::run),
    scenario!("outage_over", "R1", "an endpoint is back with 10,000 waiting", outage_over::run),
    scenario!("pool_exhausted", "R1 R2 R6", "no connection to be had, then all of them in a lock", pool_exhausted::run),
    scenario!("disk_full_data", "R1 R2 R3", "no room for data", disk_full::data),
    scenario!("disk_full_wal", "R1 R2 R3", "no room for WAL, so that PostgreSQL itself goes down", disk_full::wal),
    scenario!("clock_skewed", "R1 R2", "one worker an hour ahead, one an hour behind", clock_skewed::run),
    scenario!("old_snapshot", "R1 R4", "a snapshot held open: 10 minutes, 30 s in the short form", old_snapshot::run),
    scenario!("notifications_lost", "R1 R4", "no notification reaches the worker", notifications_lost::run),
    scenario!("narrow_limits", "R1", "few file descriptors, little memory, little CPU", narrow_limits::run),
    scenario!("hostile_answers", "R9", "endpoints whose answers are made to break the caller", hostile_answers::run),
    scenario!("poisoned_delivery", "R1 R2", "payloads that make the code of an attempt panic", poisoned_delivery::run),
    scenario!("pgbouncer", "R1 R2", "PgBouncer in transaction mode before PostgreSQL", pgbouncer::run),
    scenario!("graceful_stop", "R5", "SIGTERM under load, door by door", graceful_stop::run),
    scenario!("rolling_release", "R12", "the schema and every door replaced under load, and back", rolling_release::run),
    scenario!("overload", "R6", "five times what the database can take", overload::of_database),
    scenario!("overload_of_api", "R6", "five times what an api can take", overload::of_api),
];
