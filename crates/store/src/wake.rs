//! Telling workers that something is due. Losing a notification costs at most one poll, never an event.

use std::time::Duration;

use sqlx::postgres::{PgListener, PgPoolOptions};
use trunkline_domain::{EndpointId, Lane, TenantId};

use crate::pool::within;
use crate::{Connection, StoreError, pool};

/// The channel.
pub const CHANNEL: &str = "trunkline_due";

/// The most that PostgreSQL carries is 7,999 bytes; 100 hints of the longest names fit.
const HINTS_MAX: usize = 80;

/// Says that lanes were given up, so that their next owner need not wait for its next beat.
const LANES_FREE: &str = "lanes";

/// Says, with a tenant's id behind it, that something of it or its endpoints was changed.
const CHANGED: &str = "changed ";

/// How long a session may take to begin.
const BEGIN_WAIT: Duration = Duration::from_secs(5);

/// How long it may take to answer when it is asked whether it is still there.
const ANSWER_WAIT: Duration = Duration::from_secs(2);

/// After so long without a notification the server is asked. A connection that was cut off says nothing, as one does to which nothing is
/// to be said.
const SILENCE: Duration = Duration::from_secs(5);

/// An endpoint for which something became due.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Hint {
    /// Its tenant's lane: workers pass over lanes that others own.
    pub lane: Lane,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// The endpoint.
    pub endpoint_id: EndpointId,
}

/// What a notification says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wake {
    /// Something is due for these endpoints.
    Endpoints(Vec<Hint>),
    /// Something is due; look.
    Look,
    /// Lanes are free.
    LanesFree,
    /// A tenant or an endpoint of it was changed: what a worker knows of them may be wrong.
    Changed(TenantId),
}

impl Wake {
    /// Due for these endpoints, or, where they are too many for one notification, somewhere.
    pub fn of(hints: Vec<Hint>) -> Self {
        if hints.is_empty() || hints.len() > HINTS_MAX { Self::Look } else { Self::Endpoints(hints) }
    }

    /// One hint a line: lane, tenant and endpoint.
    fn to_payload(&self) -> String {
        match self {
            Self::Look => String::new(),
            Self::LanesFree => LANES_FREE.to_owned(),
            Self::Changed(tenant_id) => format!("{CHANGED}{tenant_id}"),
            Self::Endpoints(hints) => {
                let line = |hint: &Hint| {
                    format!("{} {} {}", hint.lane.number(), hint.tenant_id.as_str(), hint.endpoint_id)
                };
                hints.iter().map(line).collect::<Vec<_>>().join("\n")
            }
        }
    }

    /// Whatever cannot be read means: look. Anyone may notify, publishers in SQL among them.
    fn from_payload(text: &str) -> Self {
        if text == LANES_FREE {
            return Self::LanesFree;
        }
        if let Some(tenant_id) = text.strip_prefix(CHANGED).and_then(|tenant_id| tenant_id.parse().ok()) {
            return Self::Changed(tenant_id);
        }
        let hint = |line: &str| {
            let mut words = line.split(' ');
            Some(Hint {
                lane: Lane::new(words.next()?.parse().ok()?)?,
                tenant_id: words.next()?.parse().ok()?,
                endpoint_id: words.next()?.parse().ok()?,
            })
        };
        let hints: Option<Vec<_>> = text.lines().map(hint).collect();
        hints.map_or(Self::Look, Self::of)
    }
}

/// Tells every listening worker. Call it in a transaction of its own, after the data are committed: a NOTIFY takes a
/// lock that serialises commits across the whole cluster (9,400 against 3,800 transactions a second, measured).
///
/// # Errors
/// When the database is not available.
pub async fn notify(connection: &mut Connection, wake: &Wake) -> Result<(), StoreError> {
    sqlx::query!("SELECT pg_notify($1, $2)", CHANNEL, wake.to_payload()).execute(connection).await?;
    Ok(())
}

/// Tells every worker, when the transaction of a change commits, that what it knows of this tenant and its endpoints is old. Workers hear
/// it before they hear of anything that is published after the change was answered. Where a worker has no session it loads what it uses
/// again within a second.
///
/// # Errors
/// When the database is not available.
pub(crate) async fn note_changed(
    connection: &mut Connection,
    tenant_id: &TenantId,
) -> Result<(), StoreError> {
    // Few change settings at one time, so that the lock of a NOTIFY costs nobody anything.
    notify(connection, &Wake::Changed(tenant_id.clone())).await
}

/// A worker's own session: it waits for [`notify`], and holds the lock that tells the others that the worker lives. It
/// must not go through a transaction pooler.
pub struct Session(PgListener);

impl Session {
    /// Connects, takes the lock `key`, and listens; `None` where the lock is held: by our own session of before, which the server has not
    /// yet found to be gone.
    ///
    /// # Errors
    /// When the database is not available.
    pub async fn connect(url: &str, key: i64) -> Result<Option<Self>, StoreError> {
        within(BEGIN_WAIT, Self::begin(url, key)).await
    }

    async fn begin(url: &str, key: i64) -> Result<Option<Self>, StoreError> {
        // The role is asked for as the session begins: set later, it would stick to whatever connection a pooler lent.
        let options = pool::worker_options(url)?;
        let one = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
        let mut listener = PgListener::connect_with(&one.connect_with(options).await?).await?;
        listener.ignore_pool_close_event(true);
        // By itself it would connect again before it says that the connection is lost: without the lock, and late.
        listener.eager_reconnect(false);
        let is_ours = sqlx::query_scalar!(r#"SELECT pg_try_advisory_lock($1) AS "is_ours!""#, key)
            .fetch_one(&mut listener)
            .await?;
        if !is_ours {
            return Ok(None);
        }
        listener.listen(CHANNEL).await?;
        Ok(Some(Self(listener)))
    }

    /// Waits for the next notification; `None` = the connection is lost, and the lock with it.
    ///
    /// # Errors
    /// When the connection is lost in another way, or answers no more.
    pub async fn next(&mut self) -> Result<Option<Wake>, StoreError> {
        loop {
            if let Ok(received) = tokio::time::timeout(SILENCE, self.0.try_recv()).await {
                return Ok(received?.map(|notification| Wake::from_payload(notification.payload())));
            }
            within(ANSWER_WAIT, self.ask()).await?;
        }
    }

    /// Whether it is there. What is notified meanwhile is kept.
    async fn ask(&mut self) -> Result<(), StoreError> {
        sqlx::query_scalar!("SELECT 1").fetch_one(&mut self.0).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(number: u128) -> Hint {
        Hint {
            lane: Lane::new(63).unwrap(),
            tenant_id: "t".repeat(50).parse().unwrap(),
            endpoint_id: EndpointId::from(uuid::Uuid::from_u128(number)),
        }
    }

    #[test]
    fn what_is_told_is_understood() {
        for wake in [Wake::Look, Wake::LanesFree, Wake::Endpoints(vec![hint(1), hint(2)])] {
            assert_eq!(Wake::from_payload(&wake.to_payload()), wake);
        }
    }

    #[test]
    fn the_fullest_notification_fits_and_a_fuller_one_says_look() {
        let full = Wake::of((0..HINTS_MAX as u128).map(hint).collect());
        assert!(full.to_payload().len() < 8_000, "{}", full.to_payload().len());
        assert_eq!(Wake::of((0..=HINTS_MAX as u128).map(hint).collect()), Wake::Look);
    }

    #[test]
    fn what_is_not_understood_says_look() {
        for text in ["", "hello", "1 acme", "99 acme ep_00000000000000000000000000000001", "1 acme ep_1"] {
            assert_eq!(Wake::from_payload(text), Wake::Look, "{text:?}");
        }
    }
}
