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

/// A draw to be made.
pub(super) struct Order {
    pub(super) tenant_id: TenantId,
    pub(super) limits: Limits,
    pub(super) ask: Ask,
    pub(super) account: Arc<Mutex<Account>>,
}

impl Order {
    /// Tells whoever waits that nothing was drawn.
    pub(super) fn fail(self) {
        let _nothing = self.settle(None);
    }

    /// Tells the account; it may want more.
    fn settle(self, drawn: Option<Drawn>) -> Option<Self> {
        let mut account = self.account.lock().unwrap_or_else(PoisonError::into_inner);
        let next = account.settle(self.limits, drawn, Instant::now());
        drop(account);
        next.map(|ask| Self { ask, ..self })
    }

    fn draw(&self) -> Draw {
        Draw {
            tenant_id: self.tenant_id.clone(),
            per_second: self.limits.per_second,
            burst: self.limits.burst,
            needed: self.ask.needed,
            wanted: self.ask.wanted,
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
    pub(crate) async fn run(mut self, pool: Pool, clock: Clock) {
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
            let drawn = within(STATEMENT_PATIENCE, draw(&pool, &draws, &clock)).await.ok();
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
