//! How many events a tenant may publish, over all api processes: each draws tokens from the tenant's bucket in the database, in
//! lots of what it uses within the next moments, so that most events ask nobody.
//!
//! What a process holds and has not used is what all of them together may admit too much. A lot is at most a 32nd of the burst,
//! so three processes stay within a tenth; where that is less than one event, each event is drawn for by itself. A draw for many tenants is
//! one statement, and for one tenant there is one draw at a time.

mod account;
mod drawer;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use moka::sync::Cache;
use tokio::sync::mpsc;
use trunkline_domain::TenantId;
use trunkline_store::api_keys::KeyOwner;

use crate::problem::Problem;
use account::{Account, Answer, Ask, Taken};
pub(crate) use drawer::Drawer;
use drawer::Order;

/// What a process knows of a tenant that has published nothing for so long is not worth keeping.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

/// Tenants that are counted at one time.
const TENANTS_MAX: u64 = 100_000;

/// Draws that wait to be made; each tenant has one at a time.
const DRAWS_MAX: usize = 10_000;

/// How long a publisher waits for tokens, of the time that it waits in all.
pub(crate) const PATIENCE: Duration = Duration::from_millis(700);

/// What tenants may publish.
pub(crate) struct Rates {
    default: Limits,
    accounts: Cache<TenantId, Arc<Mutex<Account>>>,
    draws: mpsc::Sender<Order>,
}

/// A tenant's rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limits {
    per_second: u32,
    burst: u32,
}

/// What the caller is told of its rate. Over several processes `remaining` is an estimate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// Events it may publish at once.
    pub(crate) burst: u32,
    /// Seconds in which an empty bucket fills.
    pub(crate) window_seconds: u64,
    /// Events it may publish now.
    pub(crate) remaining: u32,
    /// Seconds until there is room for what was refused, at least 1; 0 = it was granted.
    pub(crate) wait_seconds: u64,
    /// Whether this event is within the rate.
    pub(crate) is_granted: bool,
}

impl Rates {
    /// The rate of tenants that have none of their own (0 of either = no limit), and what makes the draws.
    pub(crate) fn new(per_second: u32, burst: u32) -> (Self, Drawer) {
        let (draws, orders) = mpsc::channel(DRAWS_MAX);
        let accounts = Cache::builder().max_capacity(TENANTS_MAX).time_to_idle(FORGOTTEN_AFTER).build();
        (Self { default: Limits { per_second, burst }, accounts, draws }, Drawer::new(orders))
    }

    /// Takes that many events of a tenant's allowance, all or none; `None` where it has no limit.
    ///
    /// More than the burst would never be granted: a full bucket grants it then, and owes the rest.
    ///
    /// # Errors
    /// 503 when tokens must be drawn and the database is away: then nothing could be stored either.
    pub(crate) async fn take(&self, owner: &KeyOwner, events: u32) -> Result<Option<Allowance>, Problem> {
        let Some(limits) = self.limits(owner) else { return Ok(None) };
        let now = Instant::now();
        let fresh = || Arc::new(Mutex::new(Account::new(limits, now)));
        let account = self.accounts.entry_by_ref(&owner.tenant_id).or_insert_with(fresh).into_value();
        let (taken, ask) = account.lock().unwrap_or_else(PoisonError::into_inner).take(limits, events, now);
        if let Some(ask) = ask {
            self.order(owner, limits, &account, ask);
        }
        match taken {
            Taken::Now(allowance) => Ok(Some(allowance)),
            Taken::Later(answer) => match tokio::time::timeout(PATIENCE, answer).await {
                Ok(Ok(Answer::Told(allowance))) => Ok(Some(allowance)),
                Ok(Ok(Answer::NotDrawn) | Err(_)) => Err(Problem::unavailable("no tokens could be drawn")),
                Err(_) => Err(Problem::unavailable("tokens were not drawn in time")),
            },
        }
    }

    /// The refusal of a tenant that has nothing left for certain, by what this process knows. Takes nothing, asks nobody.
    pub(crate) fn refuses_all(&self, owner: &KeyOwner) -> Option<Allowance> {
        let limits = self.limits(owner)?;
        let account = self.accounts.get(&owner.tenant_id)?;
        account.lock().unwrap_or_else(PoisonError::into_inner).refuses_all(limits, Instant::now())
    }

    fn limits(&self, owner: &KeyOwner) -> Option<Limits> {
        let limits = Limits {
            per_second: owner.rate_per_second.unwrap_or(self.default.per_second),
            burst: owner.burst.unwrap_or(self.default.burst),
        };
        (limits.per_second > 0 && limits.burst > 0).then_some(limits)
    }

    fn order(&self, owner: &KeyOwner, limits: Limits, account: &Arc<Mutex<Account>>, ask: Ask) {
        let order = Order::new(owner.tenant_id.clone(), limits, ask, Arc::clone(account));
        // Where it finds no room it is dropped, which tells the account.
        let _ = self.draws.try_send(order);
    }
}
