//! What is asked of the database, on a connection of its own each time: the server is often just coming back.

use std::str::FromStr;
use std::time::Duration;

use anyhow::Context;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, Executor, PgConnection, Row};

/// No question here takes longer, unless something is wrong.
const PATIENCE: Duration = Duration::from_secs(10);

/// A way to ask one database.
#[derive(Clone)]
pub(crate) struct Database {
    url: String,
}

impl Database {
    pub(crate) fn new(url: &str) -> Self {
        Self { url: url.to_owned() }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The same through another port, such as a proxy's.
    pub(crate) fn url_at(&self, port: u16) -> String {
        let (before, rest) = self.url.rsplit_once(':').unwrap_or((&self.url, ""));
        let database = rest.split_once('/').map_or("", |(_, database)| database);
        format!("{before}:{port}/{database}")
    }

    pub(crate) async fn connect(&self) -> anyhow::Result<PgConnection> {
        let options = PgConnectOptions::from_str(&self.url)?.application_name("trunkline-faults");
        let connecting = PgConnection::connect_with(&options);
        Ok(tokio::time::timeout(PATIENCE, connecting).await.context("no connection in time")??)
    }

    /// Runs any statements.
    pub(crate) async fn execute(&self, sql: &str) -> anyhow::Result<()> {
        execute(&mut self.connect().await?, sql).await
    }

    /// The only number of the only row.
    pub(crate) async fn number(&self, sql: &str) -> anyhow::Result<u64> {
        let rows = self.rows(sql).await?;
        let text = rows.first().and_then(|row| row.first()).context("no row")?;
        text.parse().with_context(|| format!("no number: {text}"))
    }

    /// Every column as text; NULL is empty.
    pub(crate) async fn rows(&self, sql: &str) -> anyhow::Result<Vec<Vec<String>>> {
        let mut connection = self.connect().await?;
        let asking = connection.fetch_all(sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())));
        let rows = tokio::time::timeout(PATIENCE, asking).await.context("no answer in time")??;
        let text = |row: &sqlx::postgres::PgRow, column| {
            row.try_get_raw(column).map(|value| value.as_str().unwrap_or_default().to_owned())
        };
        let columns = |row: &sqlx::postgres::PgRow| (0..row.len()).map(|column| text(row, column)).collect();
        let rows: Result<Vec<Vec<String>>, _> = rows.iter().map(columns).collect();
        Ok(rows?)
    }

    /// Deliveries that are claimed now: each may be an attempt in flight.
    pub(crate) async fn claimed(&self) -> anyhow::Result<u64> {
        self.number(
            "SELECT count(*) FROM trunkline.deliveries WHERE due_at IS NOT NULL AND lease IS NOT NULL",
        )
        .await
    }

    /// Those that the worker with that process id has claimed: the upper half of a lease is the beginning of its worker's id.
    pub(crate) async fn claimed_by(&self, process: i32) -> anyhow::Result<u64> {
        self.number(&format!(
            "SELECT count(*)
             FROM trunkline.deliveries AS d
             JOIN trunkline.workers AS w ON d.lease >> 32 = ('x' || left(w.worker_id::text, 8))::bit(32)::integer
             WHERE d.due_at IS NOT NULL AND w.name LIKE '%:{process}'"
        ))
        .await
    }

    /// Deliveries that will be attempted by themselves, now or later.
    pub(crate) async fn open(&self) -> anyhow::Result<u64> {
        self.number("SELECT count(*) FROM trunkline.deliveries WHERE due_at IS NOT NULL OR held").await
    }

    /// Deliveries that do not have as many rows of attempts as they count: a promise of the data model.
    pub(crate) async fn miscounted(&self) -> anyhow::Result<u64> {
        self.number(
            "SELECT count(*) FROM trunkline.deliveries AS d
             WHERE d.lease IS NULL AND d.attempts <> (
                 SELECT count(*) FROM trunkline.attempts AS a
                 WHERE a.lane = d.lane AND a.tenant_id = d.tenant_id
                   AND a.event_id = d.event_id AND a.endpoint_id = d.endpoint_id)",
        )
        .await
    }
}

/// Runs any statements on a connection that stays, such as one that holds a transaction open.
pub(crate) async fn execute(connection: &mut PgConnection, sql: &str) -> anyhow::Result<()> {
    connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))).await?;
    Ok(())
}
