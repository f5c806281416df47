//! The end of history, seen to by one worker at a time: what waited for too long is cancelled, payloads and then everything else
//! of a day are dropped, tenants and types with a shorter retention are erased bit by bit. Days are counted before.

mod export;

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use secrecy::ExposeSecret;
use trunkline_boot::{Clock, Settings, SettingsError, Shutdown};
use trunkline_domain::{EventId, TenantId};
use trunkline_store::pool::{InvalidUrl, within};
use trunkline_store::retention::{self, Day, HistoryTable, Left, Place, Scope, Standing, Turn};
use trunkline_store::{Address, Connection, Pool, Purpose, StoreError, pool, time};
use uuid::Uuid;

use crate::metrics::METRICS;
use crate::operational::{Crier, Fact, Herald, News};

/// Between two rounds.
const ROUND: Duration = Duration::from_secs(60);

/// One for the turn and one to work with.
const CONNECTIONS: u32 = 2;

/// Work that its partition waits for is given up so long after the partition could have gone.
const GRACE: chrono::Duration = chrono::Duration::days(30);

/// Deliveries cancelled, or events erased, in one transaction.
const BATCH: i64 = 1_000;

/// Batches cancelled in a round, so that nothing else waits for a large backlog.
const BATCHES_MAX: usize = 50;

/// How long a round erases, so that days can go too.
const ERASING: Duration = Duration::from_secs(20);

/// Days counted in a round.
const COUNTED_MAX: usize = 20;

/// How long to wait for transactions that still use a table before the next round tries again.
const DETACH_PATIENCE: Duration = Duration::from_secs(60);

/// Why a round ended early.
#[derive(Debug, thiserror::Error)]
pub enum RetentionError {
    /// A setting is missing.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// `database.url` is no address.
    #[error(transparent)]
    Url(#[from] InvalidUrl),
    /// The database did not let it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What would be dropped could not be written down before.
    #[error("retention.export: {0}")]
    Export(#[from] std::io::Error),
    /// Only the owner of the tables drops partitions.
    #[error("this login does not own the tables; only their owner can drop history")]
    NotOwner,
}

/// One round, for an operator or a timer where the workers' login does not own the tables.
///
/// # Errors
/// When the database is away, the login is not the owner, or something could not be exported.
pub async fn end_history(settings: &Settings) -> Result<(), RetentionError> {
    let url = settings.require_database_url()?.expose_secret();
    let clock = Clock::new();
    let pool = pool::open(Address::new(url, settings.database.is_pooled()), Purpose::Engine, 1)?;
    let (now, round_trip) = time::read_first(&pool).await?;
    clock.set(now, round_trip);
    if !Turn::is_ours(&pool).await? {
        return Err(RetentionError::NotOwner);
    }
    let (herald, mut crier) = Crier::new(pool, clock.clone());
    let mut retention = Retention::new(settings, url, clock, herald);
    // Tells until the herald is dropped with the rest.
    let crier = tokio::spawn(async move { crier.run().await });
    let done = retention.round().await;
    drop(retention);
    let _told = crier.await;
    done
}

/// As the calendar counts it; what is too long for that is for ever.
pub(crate) fn kept(time: Duration) -> chrono::Duration {
    chrono::Duration::from_std(time).unwrap_or(chrono::Duration::MAX)
}

/// Ends history.
pub(crate) struct Retention {
    /// Connections are made for a round and closed after it: a worker needs none in between.
    url: String,
    is_pooled: bool,
    clock: Clock,
    herald: Herald,
    events: chrono::Duration,
    payloads: chrono::Duration,
    export: Option<PathBuf>,
    /// Whether it was said that this login cannot do it.
    told: bool,
    /// The last scope that had its first batch of a round: the next begins with the one behind it.
    served: Option<Name>,
}

impl Retention {
    pub(crate) fn new(settings: &Settings, url: &str, clock: Clock, herald: Herald) -> Self {
        Self {
            url: url.to_owned(),
            is_pooled: settings.database.is_pooled(),
            clock,
            herald,
            events: kept(settings.retention.events),
            payloads: kept(settings.retention.payloads),
            export: settings.retention.export.clone(),
            told: false,
            served: None,
        }
    }

    /// Works until a stop is requested, which interrupts it: each step can be taken again.
    pub(crate) async fn run(&mut self, shutdown: Shutdown) {
        while !shutdown.is_requested() {
            tokio::select! {
                () = shutdown.requested() => {}
                done = self.round() => {
                    if let Err(error) = done {
                        tracing::warn!(%error, "the end of history did not come through; it is tried again in a minute");
                        METRICS.retention_failures.increment(1);
                    }
                    tokio::select! {
                        () = shutdown.requested() => {}
                        () = tokio::time::sleep(ROUND) => {}
                    }
                }
            }
        }
    }

    async fn round(&mut self) -> Result<(), RetentionError> {
        let address = Address::new(&self.url, self.is_pooled);
        let pool = pool::open(address, Purpose::Maintenance, CONNECTIONS)?;
        let done = self.round_with(&pool).await;
        pool.close().await;
        done
    }

    async fn round_with(&mut self, pool: &Pool) -> Result<(), RetentionError> {
        if !Turn::is_ours(pool).await? {
            if !std::mem::replace(&mut self.told, true) {
                tracing::warn!(
                    "this login does not own the tables, so that it drops no history: have `trunkline retention --apply` run as their owner now and then"
                );
            }
            return Ok(());
        }
        // Another worker sees to it.
        let Some(_turn) = Turn::take(pool).await? else { return Ok(()) };
        // Each by itself, on a connection of its own: one that fails, round after round, keeps no other from being done. Erasing is
        // before the days, which may have to wait for a folder or for somebody's transaction.
        let done = self.count(pool).await;
        let done = done.and(self.expire(pool).await);
        let done = done.and(self.erase(pool, retention::SCOPES_MAX).await);
        let done = done.map_err(RetentionError::from).and(self.end_days(pool, Left::Payloads).await);
        done.and(self.end_days(pool, Left::Metadata).await)
    }

    /// Ends what is left of days whose time is over. What keeps one keeps no other, unless it is the database, or somebody's transaction,
    /// which would keep the next as long.
    async fn end_days(&self, pool: &Pool, left: Left) -> Result<(), RetentionError> {
        let kept = if left == Left::Payloads { self.payloads } else { self.events };
        let mut connection = pool.acquire().await.map_err(StoreError::from)?;
        let days = retention::past(&mut connection, left, self.clock.now() - kept).await?;
        drop(connection);
        let mut done = Ok(());
        for day in days {
            let ended = self.end_day(pool, left, day).await;
            let is_away =
                matches!(&ended, Err(RetentionError::Store(error)) if error.retry_after().is_some());
            done = done.and(ended);
            if is_away {
                break;
            }
        }
        done
    }

    async fn end_day(&self, pool: &Pool, left: Left, day: Day) -> Result<(), RetentionError> {
        let mut connection = pool.acquire().await.map_err(StoreError::from)?;
        // Asked day by day: those before may have taken long. Without its payload nothing can be opened again: what has no open work then
        // will have none.
        if retention::has_open_work(&mut connection, &day).await? {
            return Ok(());
        }
        match left {
            Left::Metadata => self.end_all(&mut connection, day).await?,
            Left::Payloads => {
                if self.end(&mut connection, HistoryTable::Payloads, day).await? {
                    retention::note_payloads_gone(&mut connection, day.from_day).await?;
                }
            }
        }
        Ok(())
    }

    async fn count(&self, pool: &Pool) -> Result<(), StoreError> {
        let mut connection = pool.acquire().await?;
        for _ in 0..COUNTED_MAX {
            let Some(day) = retention::day_to_count(&mut connection).await? else { break };
            retention::count_day(&mut connection, day).await?;
        }
        Ok(())
    }

    /// Cancels what kept its partition for too long.
    async fn expire(&self, pool: &Pool) -> Result<(), StoreError> {
        let mut connection = pool.acquire().await?;
        let below = EventId::first_at(self.clock.now() - self.payloads - GRACE).as_uuid();
        for _ in 0..BATCHES_MAX {
            let expired = retention::expire(&mut connection, below, self.clock.now(), BATCH).await?;
            if expired.is_empty() {
                break;
            }
            for one in expired {
                tracing::warn!(tenant.id = %one.tenant_id, endpoint.id = %one.endpoint_id, count = one.count, "deliveries cancelled: they waited past the retention of their events and 30 days more");
                METRICS.expired.increment(one.count);
                let fact = Fact::Expired { count: one.count };
                self.herald.tell(News { tenant_id: one.tenant_id, about: one.endpoint_id, fact });
            }
        }
        Ok(())
    }

    async fn end_all(&self, connection: &mut Connection, day: Day) -> Result<(), RetentionError> {
        // The last time that it can be.
        if retention::standing(connection, HistoryTable::Events, day.from_day).await? == Standing::Attached {
            for counted in day.from_day.iter_days().take_while(|counted| *counted < day.until_day) {
                retention::count_day(connection, counted).await?;
            }
        }
        for table in HistoryTable::METADATA {
            if !self.end(connection, table, day).await? {
                return Ok(());
            }
        }
        retention::forget(connection, day.from_day).await?;
        Ok(())
    }

    /// Brings one partition from wherever it stands to its end. `false` = it stays, because work in it was opened again meanwhile.
    async fn end(
        &self,
        connection: &mut Connection,
        table: HistoryTable,
        day: Day,
    ) -> Result<bool, RetentionError> {
        loop {
            match retention::standing(connection, table, day.from_day).await? {
                Standing::Attached => {
                    if let Some(folder) = &self.export {
                        export::check(folder).await?;
                    }
                    within(DETACH_PATIENCE, retention::detach(connection, table, day.from_day)).await?;
                }
                Standing::HalfDetached => {
                    within(DETACH_PATIENCE, retention::finish_detaching(connection, table, day.from_day))
                        .await?;
                }
                Standing::Detached => {
                    // Who saw it while it was detached has committed by now.
                    if retention::has_open_work(connection, &day).await? {
                        retention::attach(connection, table, &day).await?;
                        return Ok(false);
                    }
                    if let Some(folder) = &self.export {
                        export::write(connection, folder, table, day.from_day).await?;
                    }
                    retention::drop(connection, table, day.from_day).await?;
                    tracing::info!(partition = %table.partition(day.from_day), "partition dropped: its retention is over");
                }
                Standing::Gone => return Ok(true),
            }
        }
    }

    /// Erases what is past the retention of its tenant or type, of at most so many of them.
    async fn erase(&mut self, pool: &Pool, scopes_max: i64) -> Result<(), StoreError> {
        let mut connection = pool.acquire().await?;
        let known = retention::places(&mut connection).await?;
        let known: HashMap<_, _> = known.into_iter().map(|place| (name(&place), place)).collect();
        let after = self.served.as_ref().map(|(tenant_id, event_type)| (tenant_id, event_type.as_deref()));
        let scopes = retention::scopes(&mut connection, after, scopes_max).await?;
        // One batch each in turn: none keeps the others from theirs.
        let mut turns: VecDeque<(Scope, Place)> =
            scopes.into_iter().map(|scope| with_place(scope, &known)).collect();
        let mut unserved = turns.len();
        let begun = Instant::now();
        let mut seen = Vec::new();
        while begun.elapsed() < ERASING {
            let Some((scope, mut place)) = turns.pop_front() else { break };
            if unserved > 0 {
                unserved -= 1;
                self.served = Some(name(&place));
            }
            if erase_batch(&mut connection, &scope, &mut place).await? {
                turns.push_back((scope, place));
            } else {
                seen.push(place);
            }
        }
        seen.extend(turns.into_iter().map(|(_, place)| place));
        seen.retain(|place| known.get(&name(place)) != Some(place));
        retention::note_places(&mut connection, &seen).await
    }
}

/// What tells one scope from another.
type Name = (TenantId, Option<String>);

fn name(place: &Place) -> Name {
    (place.tenant_id.clone(), place.event_type.clone())
}

/// A scope, and where to go on in it.
fn with_place(scope: Scope, known: &HashMap<Name, Place>) -> (Scope, Place) {
    let (tenant_id, event_type) = (scope.tenant_id.clone(), scope.event_type.clone());
    let begin = Place { tenant_id, event_type, next: Uuid::nil(), open: None };
    let place = known.get(&name(&begin)).cloned().unwrap_or(begin);
    (scope, place)
}

/// Whether there is more.
async fn erase_batch(
    connection: &mut Connection,
    scope: &Scope,
    place: &mut Place,
) -> Result<bool, StoreError> {
    let erased = retention::erase(connection, scope, place.next, BATCH).await?;
    place.open = place.open.or(erased.first_open);
    let Some(last) = erased.last else {
        // From the first that was passed over, the next time.
        place.next = place.open.take().unwrap_or(place.next);
        return Ok(false);
    };
    place.next = Uuid::from_u128(last.as_u128().saturating_add(1));
    if erased.events > 0 {
        tracing::debug!(tenant.id = %scope.tenant_id, count = erased.events, "events erased: their retention is over");
        METRICS.erased.increment(erased.events as u64);
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use trunkline_testkit::{TestDatabase, seed_tenant, settings};

    use super::*;

    #[tokio::test]
    async fn shorter_retentions_beyond_those_of_one_round_are_kept_in_the_next() {
        let database = TestDatabase::new().await;
        let settings = settings(&database);
        for tenant in ["acme", "globex", "initech"] {
            seed_tenant(&database, &settings, tenant, "http://127.0.0.1:9/").await;
        }
        database
            .execute(
                "UPDATE trunkline.tenants SET retention_days = 1;
                 SELECT trunkline.create_partition(current_date - 9, current_date - 8);
                 INSERT INTO trunkline.events (lane, tenant_id, event_id, payload_sha256, payload_bytes, created_at, routed)
                 SELECT lane, tenant_id, trunkline.uuid_v7(at), decode(repeat('00', 32), 'hex'), 12, at, true
                 FROM trunkline.tenants, (SELECT (current_date - 9)::timestamp AT TIME ZONE 'UTC' AS at) AS times",
            )
            .await;
        let (pool, clock) = (database.pool(Purpose::Maintenance), Clock::new());
        let herald = Crier::new(pool.clone(), clock.clone()).0;
        let mut retention = Retention::new(&settings, database.url(), clock, herald);
        let left = "SELECT string_agg(tenant_id, ' ' ORDER BY tenant_id) FROM trunkline.events";
        for expected in ["initech", ""] {
            retention.erase(&pool, 2).await.unwrap();
            assert_eq!(database.text(left).await, expected);
        }
    }
}
