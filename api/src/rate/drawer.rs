//! Makes the draws: whatever is asked for at a time, of any number of tenants, in one statement.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use trunkline_boot::Clock;
use trunkline_domain::TenantId;
use trunkline_store::pool::within;
use trunkline_store::rate_buckets::{self, Draw, Drawn};
use trunkline_store::{Pool, StoreError};

use super::Limits;
use super::account::{Account, Ask};

/// Draws in one statement.
const DRAWS_AT_A_TIME: usize = 256;

/// How long a statement is waited for; the server's own limit is 1 s.
const STATEMENT_PATIENCE: Duration = Duration::from_secs(2);

/// A draw to be made. The account waits for its end: one that is dropped, for want of room or by a panic, has failed.
pub(super) struct Order {
    tenant_id: TenantId,
    limits: Limits,
    /// `None` = the account knows how it ended.
    ask: Option<Ask>,
    account: Arc<Mutex<Account>>,
}

impl Order {
    pub(super) fn new(tenant_id: TenantId, limits: Limits, ask: Ask, account: Arc<Mutex<Account>>) -> Self {
        Self { tenant_id, limits, ask: Some(ask), account }
    }

    /// Tells the account; it may want more.
    fn settle(mut self, drawn: Option<Drawn>) -> Option<Self> {
        self.ask = None;
        self.ask = self.tell(drawn);
        self.ask.is_some().then_some(self)
    }

    fn tell(&self, drawn: Option<Drawn>) -> Option<Ask> {
        let mut account = self.account.lock().unwrap_or_else(PoisonError::into_inner);
        account.settle(self.limits, drawn, Instant::now())
    }

    fn draw(&self) -> Draw {
        Draw {
            tenant_id: self.tenant_id.clone(),
            per_second: self.limits.per_second,
            burst: self.limits.burst,
            needed: self.ask.map_or(0, |ask| ask.needed),
            wanted: self.ask.map_or(0, |ask| ask.wanted),
        }
    }
}

impl Drop for Order {
    fn drop(&mut self) {
        if self.ask.take().is_some() {
            self.tell(None);
        }
    }
}

/// The other end of the queue of draws.
pub(crate) struct Drawer {
    orders: mpsc::Receiver<Order>,
}

impl Drawer {
    pub(super) fn new(orders: mpsc::Receiver<Order>) -> Self {
        Self { orders }
    }

    /// Works until nobody can ask any more.
    pub(crate) async fn run(&mut self, pool: &Pool, clock: &Clock) {
        let mut orders = Vec::with_capacity(DRAWS_AT_A_TIME);
        loop {
            if orders.is_empty() && self.orders.recv_many(&mut orders, DRAWS_AT_A_TIME).await == 0 {
                return;
            }
            while orders.len() < DRAWS_AT_A_TIME
                && let Ok(order) = self.orders.try_recv()
            {
                orders.push(order);
            }
            let draws: Vec<Draw> = orders.iter().map(Order::draw).collect();
            // Whoever waited is told, and tells why in its answer's log line.
            let drawn = within(STATEMENT_PATIENCE, draw(pool, &draws, clock)).await.ok();
            let of = |place: usize| drawn.as_ref().and_then(|drawn| drawn.get(place).copied());
            orders =
                orders.into_iter().enumerate().filter_map(|(place, order)| order.settle(of(place))).collect();
        }
    }
}

async fn draw(pool: &Pool, draws: &[Draw], clock: &Clock) -> Result<Vec<Drawn>, StoreError> {
    let mut connection = pool.acquire().await?;
    rate_buckets::draw(&mut connection, draws, clock.now()).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rate::account::{Answer, Taken};

    #[test]
    fn a_draw_that_a_panic_took_along_has_failed_and_the_next_is_made() {
        let (limits, now) = (Limits { per_second: 10, burst: 20 }, Instant::now());
        let account = Arc::new(Mutex::new(Account::new(limits, now)));
        let take = || account.lock().unwrap().take(limits, 1, now);
        let (Taken::Later(mut answer), Some(ask)) = take() else { panic!("nothing is drawn yet") };
        drop(Order::new("acme".parse().unwrap(), limits, ask, account.clone()));
        assert_eq!(answer.try_recv(), Ok(Answer::NotDrawn));
        assert!(take().1.is_some());
    }
}
