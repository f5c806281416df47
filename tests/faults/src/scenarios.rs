//! The scenarios, one file each.

mod kill_everything;
mod kill_random;
mod postgres_immediate;
mod traffic;

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
    ($name:ident, $promises:literal, $about:literal) => {
        Scenario {
            name: stringify!($name),
            promises: $promises,
            about: $about,
            run: |trial| Box::pin($name::run(trial)),
        }
    };
}

/// All, in the order in which they run.
pub(crate) const ALL: &[Scenario] = &[
    scenario!(kill_random, "R1 R2", "kill -9 of a random api, worker or receiver every 2 s"),
    scenario!(kill_everything, "R1 R2 R3", "kill -9 of everything, PostgreSQL included"),
    scenario!(
        postgres_immediate,
        "R1 R2 R3",
        "PostgreSQL stopped with -m immediate again and again, then away for 10 s"
    ),
];
