use super::super::reader::Reader;
use super::days;
use secrecy::SecretString;
use std::path::PathBuf;
use std::time::Duration;

/// What may stand before the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooler {
    /// Nothing, or a pooler that lends a connection of the server for as long as a client is connected.
    None,
    /// A pooler that lends one for a transaction, such as PgBouncer in transaction mode.
    Transaction,
}

/// `database.*`
#[derive(Debug, Clone)]
pub struct DatabaseSettings {
    /// Where PostgreSQL (or a pooler before it) is; required by every program that stores something.
    pub url: Option<SecretString>,
    /// A direct connection for session locks, notifications and migrations, where `url` is a transaction pooler.
    /// `None`: `url` is used for them, unless it is one.
    pub session_url: Option<SecretString>,
    /// What answers at `url`.
    pub pooler: Pooler,
    /// Connections of one process, 2-1,000. An api opens half as many more for searches and twelve for what is published, a
    /// worker one more, for its session, and for a moment each minute two, to see to the end of history.
    pub max_connections: u32,
}

impl Default for DatabaseSettings {
    fn default() -> Self {
        Self { url: None, session_url: None, pooler: Pooler::None, max_connections: 10 }
    }
}

impl DatabaseSettings {
    /// Whether `url` is a transaction pooler.
    #[must_use]
    pub fn is_pooled(&self) -> bool {
        self.pooler == Pooler::Transaction
    }

    /// Where the database itself answers, as far as is known: for what must not go through a pooler.
    #[must_use]
    pub fn direct_url(&self) -> Option<&SecretString> {
        self.session_url.as_ref().or(self.url.as_ref().filter(|_| !self.is_pooled()))
    }

    pub(super) fn read(reader: &mut Reader) -> Self {
        let default = Self::default();
        let url = reader.postgres_url("database.url");
        let session_url = reader.postgres_url("database.session_url");
        // Who names a direct connection besides says that the other is none.
        let pooler = if session_url.is_some() { Pooler::Transaction } else { default.pooler };
        let poolers = [("none", Pooler::None), ("transaction", Pooler::Transaction)];
        Self {
            url,
            session_url,
            pooler: reader.choice("database.pooler", pooler, &poolers),
            max_connections: reader.number(
                "database.max_connections",
                default.max_connections,
                2..=1_000,
                "a number",
            ),
        }
    }
}

/// `partitions.*`
#[derive(Debug, Clone)]
pub struct PartitionSettings {
    /// Partitions that exist ahead of the current one, 2-60. Fewer than 2 is a readiness failure.
    pub ahead: u32,
    /// Days in one partition, 1-31.
    pub width_days: u32,
}

impl Default for PartitionSettings {
    fn default() -> Self {
        Self { ahead: 7, width_days: 1 }
    }
}

impl PartitionSettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let default = Self::default();
        Self {
            ahead: reader.number("partitions.ahead", default.ahead, 2..=60, "a number of partitions"),
            width_days: reader.number(
                "partitions.width_days",
                default.width_days,
                1..=31,
                "a number of days",
            ),
        }
    }
}

/// As durations count years in text.
const TEN_YEARS: Duration = Duration::from_secs(10 * 31_557_600);

/// `retention.*`
#[derive(Debug, Clone)]
pub struct RetentionSettings {
    /// How long history is kept, 1 day to 10 years: then its partitions are dropped, once nothing in them waits.
    pub events: Duration,
    /// How long payloads are kept; no longer than `events`.
    pub payloads: Duration,
    /// A folder to which what is dropped is written before, as NDJSON. `None`: it is not.
    pub export: Option<PathBuf>,
}

impl Default for RetentionSettings {
    fn default() -> Self {
        Self { events: days(90), payloads: days(30), export: None }
    }
}

impl RetentionSettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let default = Self::default();
        let range = days(1)..=TEN_YEARS;
        let events = reader.duration("retention.events", default.events, range.clone());
        // Who keeps events for a shorter time than payloads by default, and says nothing of payloads, means both.
        let payloads = reader.duration("retention.payloads", default.payloads.min(events), range);
        if payloads > events {
            let most = events.as_secs() / 86_400;
            reader.refuse(
                "retention.payloads",
                format!("accepts {most}days or less: payloads are not kept longer than retention.events"),
            );
        }
        let accepts = "accepts the absolute path of a folder";
        let export = reader.scalar("retention.export", None, accepts, |text| {
            let path = PathBuf::from(text);
            path.is_absolute().then_some(Some(path))
        });
        Self { events, payloads, export }
    }
}
