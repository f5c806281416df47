//! Turns of those who tidy up, look around and replay, each of which may hold a connection for seconds: some are never theirs. What
//! follows from outcomes, the clock and readiness do not wait behind a sweep; outcomes, which are worth nothing when their leases are
//! over, have a connection of their own.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections of the engine's that are nobody's for long.
const KEPT: u32 = 2;

/// Shared by all who may have such a turn.
#[derive(Clone)]
pub(crate) struct Spare(Arc<Semaphore>);

/// Lets its holder use one connection.
pub(crate) struct Turn {
    _turn: Option<OwnedSemaphorePermit>,
}

impl Spare {
    /// Of so many connections.
    pub(crate) fn of(connections: u32) -> Self {
        Self(Arc::new(Semaphore::new(connections.saturating_sub(KEPT).max(1) as usize)))
    }

    /// Waits for one, in the order of those who ask: none of them is urgent.
    pub(crate) async fn turn(&self) -> Turn {
        // It is never closed.
        Turn { _turn: self.0.clone().acquire_owned().await.ok() }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, poll};
    use trunkline_boot::{Clock, Shutdown};
    use trunkline_store::{Purpose, pool};
    use trunkline_testkit::{TestDatabase, settings};

    use super::*;
    use crate::operational::Crier;
    use crate::replays::Replayer;
    use crate::sampler::Sampler;
    use crate::upkeep::Upkeep;
    use crate::wake::Mailbox;

    #[tokio::test]
    async fn with_few_connections_those_who_tidy_up_leave_two_to_whoever_is_in_a_hurry() {
        let database = TestDatabase::new().await;
        let (settings, clock) = (settings(&database), Clock::new());
        let pool = pool::open(database.url(), Purpose::Engine, 3).unwrap();
        // So that whoever takes one has it at once.
        drop((pool.acquire().await.unwrap(), pool.acquire().await.unwrap(), pool.acquire().await.unwrap()));
        let all_idle = async || (pool::usage(&pool).1 == 3).then_some(());
        trunkline_testkit::eventually("all are back", all_idle).await;
        let (spare, (herald, _crier)) = (Spare::of(3), Crier::new(pool.clone(), clock.clone()));
        let upkeep = Upkeep::new(&settings, pool.clone(), spare.clone(), clock.clone(), herald);
        let mut sampler = Sampler::new(pool.clone(), spare.clone(), clock.clone(), &settings);
        let replayer = Replayer {
            pool: pool.clone(),
            spare: spare.clone(),
            clock: clock.clone(),
            engine: Mailbox::default(),
        };
        let one = spare.turn().await;
        let mut parts = [
            upkeep.run(Shutdown::new()).boxed(),
            sampler.run(Shutdown::new()).boxed(),
            replayer.run(Shutdown::new()).boxed(),
        ];
        for part in &mut parts {
            assert!(poll!(part).is_pending());
        }
        assert_eq!(pool::usage(&pool).0, 0, "they wait for the turn that somebody has");
        drop(one);
        assert!(poll!(&mut parts[0]).is_pending());
        assert_eq!(pool::usage(&pool).0, 1, "the first has it now");
        for part in &mut parts {
            assert!(poll!(part).is_pending());
        }
        assert_eq!(pool::usage(&pool).0, 1);
    }
}
