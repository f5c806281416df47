//! What still waits in the database, and how it was written.

use std::time::{Duration, Instant};

use anyhow::bail;

use super::House;

/// Outcomes are recorded within milliseconds of their arrival.
const PATIENCE: Duration = Duration::from_secs(30);

impl House<'_> {
    /// Waits until every delivery has its outcome.
    pub(crate) fn wait_until_recorded(&self) -> anyhow::Result<()> {
        let started = Instant::now();
        while self.server.psql("SELECT EXISTS (SELECT FROM trunkline.deliveries WHERE due_at IS NOT NULL)")?
            != "f"
        {
            if started.elapsed() > PATIENCE {
                bail!("deliveries that arrived are not recorded after {PATIENCE:?}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// What the server spent its time on since it started, in words, most first; nothing where it does not count.
    pub(crate) fn top_statements(&self) -> anyhow::Result<Vec<String>> {
        if !self.server.has_statements() {
            return Ok(Vec::new());
        }
        let rows = self.server.psql(
            "SELECT round(total_exec_time + total_plan_time)::text || ' ms (planning ' || round(total_plan_time) || ') in ' || calls || ' calls, ' || rows || ' rows: '
                    || left(regexp_replace(query, '\\s+', ' ', 'g'), 80)
             FROM pg_stat_statements
             ORDER BY total_exec_time + total_plan_time DESC
             LIMIT 5",
        )?;
        Ok(rows.lines().map(|line| format!("server time: {line}")).collect())
    }

    /// The share of updates to deliveries that touched no index, from 0 to 1.
    pub(crate) fn hot_update_share(&self) -> anyhow::Result<f64> {
        self.server.number(
            "SELECT coalesce(sum(n_tup_hot_upd) / nullif(sum(n_tup_upd), 0), 0)
             FROM pg_stat_user_tables
             WHERE schemaname = 'trunkline' AND relname LIKE 'deliveries%'",
        )
    }
}
