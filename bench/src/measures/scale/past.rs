//! A past that did not happen: finished events, written by SQL, as a busy service would have them.

use std::ops::Range;

use anyhow::Context;

use crate::house::server::Server;
use crate::report::progress;

/// Rows in one statement.
const CHUNK: u64 = 500_000;

/// Makes partitions for so many days that are over. Those there are were made for the days to come and hold nothing yet.
pub(super) fn make_partitions(server: &Server, days: u32) -> anyhow::Result<()> {
    if days <= 1 {
        return Ok(());
    }
    server
        .psql(&format!(
            "DO $$
             DECLARE partition regclass;
             BEGIN
                 FOR partition IN
                     SELECT inhrelid::regclass FROM pg_inherits
                     WHERE inhparent = ANY (ARRAY['trunkline.events', 'trunkline.payloads', 'trunkline.deliveries',
                                                  'trunkline.attempts']::regclass[])
                 LOOP
                     EXECUTE format('DROP TABLE %s', partition);
                 END LOOP;
             END $$;
             TRUNCATE trunkline.history_partitions;
             INSERT INTO trunkline.history_partitions (from_day, until_day)
             VALUES (current_date - {days} - 1, current_date - {days} + 1);
             SELECT trunkline.create_partitions();
             DELETE FROM trunkline.history_partitions WHERE from_day = current_date - {days} - 1"
        ))
        .context("making partitions of the past")?;
    Ok(())
}

/// Writes delivered events with these numbers, dealt out over all tenants and over so many days; of one day, over the last
/// hour.
pub(super) fn fill(server: &Server, numbers: Range<u64>, days: u32) -> anyhow::Result<()> {
    let mut start = numbers.start;
    while start < numbers.end {
        let end = (start + CHUNK).min(numbers.end);
        server.psql(&chunk(start, end, days))?;
        start = end;
        if numbers.end - numbers.start > CHUNK {
            progress(&format!("scale: {start} of {}", numbers.end));
        }
    }
    server.psql("VACUUM (ANALYZE)")?;
    Ok(())
}

fn chunk(start: u64, end: u64, days: u32) -> String {
    // The midnight that began today's partition may be a moment ago; yesterday's partition is there for that.
    let span =
        if days <= 1 { "interval '1 hour'".to_owned() } else { format!("interval '1 day' * {}", days - 1) };
    format!(
        "SET synchronous_commit = off;
         CREATE TEMP TABLE past AS
         SELECT e.lane, e.tenant_id, e.endpoint_id, e.url, m.at,
                (lpad(to_hex((extract(epoch FROM m.at) * 1000)::bigint), 12, '0') || '7' || substr(m.hash, 1, 3)
                 || '8' || substr(m.hash, 5, 15))::uuid AS event_id
         FROM (
             SELECT number, now() - {span} * ((number::bigint * 7919) % 1000003) / 1000003.0 AS at,
                    md5(number::text) AS hash
             FROM generate_series({start}, {end} - 1) AS number
         ) AS m
         JOIN (
             SELECT row_number() OVER (ORDER BY tenant_id) - 1 AS turn, count(*) OVER () AS turns, lane, tenant_id,
                    endpoint_id, url
             FROM trunkline.endpoints
         ) AS e ON e.turn = m.number % e.turns;
         INSERT INTO trunkline.events
             (lane, tenant_id, event_id, type, payload_sha256, payload_bytes, created_at, routed)
         SELECT lane, tenant_id, event_id, 'bench.past', sha256('{{}}'), 2, at, true FROM past;
         INSERT INTO trunkline.payloads (lane, tenant_id, event_id, payload)
         SELECT lane, tenant_id, event_id, '{{}}' FROM past;
         INSERT INTO trunkline.deliveries
             (lane, tenant_id, event_id, endpoint_id, status, attempts, cycle_attempts, last_attempt_at,
              last_status_code, created_at, finished_at)
         SELECT lane, tenant_id, event_id, endpoint_id, 'DELIVERED', 1, 1, at, 200, at, at FROM past;
         INSERT INTO trunkline.attempts
             (lane, tenant_id, event_id, endpoint_id, attempt, started_at, duration_ms, status_code, outcome, url, worker)
         SELECT lane, tenant_id, event_id, endpoint_id, 1, at, 3, 200, 'succeeded', url, 'bench' FROM past"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_span_follows_the_days() {
        assert!(chunk(0, 10, 1).contains("interval '1 hour'"));
        assert!(chunk(0, 10, 60).contains("interval '1 day' * 59"));
        assert!(chunk(0, 10, 60).contains("generate_series(0, 10 - 1)"));
    }
}
