//! What tenants may still publish: a token bucket each, which every api process draws from in lots.

use chrono::{DateTime, Utc};
use trunkline_domain::TenantId;

use crate::{Connection, StoreError};

/// Tokens that a process asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draw {
    /// Whose bucket.
    pub tenant_id: TenantId,
    /// Tokens it gains a second.
    pub per_second: u32,
    /// Tokens it holds at most.
    pub burst: u32,
    /// All of these or nothing. Of a full bucket more than it holds can be had: it owes the rest.
    pub needed: u32,
    /// As many beyond them as there are, up to this.
    pub wanted: u32,
}

/// What a draw brought.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drawn {
    /// Tokens that are the process's now.
    pub granted: u32,
    /// Tokens that the bucket holds after it.
    pub left: f64,
}

/// Draws from several buckets, at `now` by the database's clock; answers in the order of `draws`. A bucket that is not there is
/// made, full.
///
/// # Errors
/// When the database is not available; what was drawn by then is lost to the process.
pub async fn draw(
    connection: &mut Connection,
    draws: &[Draw],
    now: DateTime<Utc>,
) -> Result<Vec<Drawn>, StoreError> {
    let mut drawn = vec![None; draws.len()];
    take(connection, draws, now, &mut drawn).await?;
    let mut open = drawn.iter().filter(|drawn| drawn.is_none()).count();
    while open > 0 {
        make(connection, draws, now).await?;
        take(connection, draws, now, &mut drawn).await?;
        let still_open = drawn.iter().filter(|drawn| drawn.is_none()).count();
        // One statement changes a row once: of two draws from one bucket the other is made by the next.
        if still_open == open {
            break;
        }
        open = still_open;
    }
    // Nothing is granted from a bucket that somebody deleted meanwhile.
    Ok(drawn.into_iter().map(|drawn| drawn.unwrap_or(Drawn { granted: 0, left: 0.0 })).collect())
}

/// One statement for the draws that have no answer yet.
async fn take(
    connection: &mut Connection,
    draws: &[Draw],
    now: DateTime<Utc>,
    drawn: &mut [Option<Drawn>],
) -> Result<(), StoreError> {
    let open: Vec<usize> = (0..draws.len()).filter(|place| drawn[*place].is_none()).collect();
    let tenants: Vec<String> = open.iter().map(|place| draws[*place].tenant_id.to_string()).collect();
    let column = |of: fn(&Draw) -> u32| -> Vec<i64> {
        open.iter().map(|place| i64::from(of(&draws[*place]))).collect()
    };
    // Locked in the order of their names, so that processes wait for each other in one direction only. `refilled_at` does not
    // go back for a process whose clock is a little behind, but does when the database's own clock was set back.
    let rows = sqlx::query!(
        r#"
        WITH asked AS MATERIALIZED (
            SELECT tenant_id, per_second, burst, needed, wanted, place
            FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
                 WITH ORDINALITY AS a (tenant_id, per_second, burst, needed, wanted, place)
        ), held AS MATERIALIZED (
            SELECT b.tenant_id, a.place, a.burst, a.needed, a.wanted,
                   least(a.burst, b.tokens + a.per_second * greatest(0, extract(epoch FROM $6::timestamptz - b.refilled_at))::float8)
                       AS tokens
            FROM trunkline.rate_buckets AS b
            JOIN asked AS a USING (tenant_id)
            ORDER BY b.tenant_id
            FOR UPDATE OF b
        ), granted AS (
            SELECT tenant_id, place, tokens,
                   CASE
                       WHEN tokens >= least(needed, burst) THEN needed + greatest(0, least(wanted, floor(tokens - needed)))
                       ELSE 0
                   END AS granted
            FROM held
        )
        UPDATE trunkline.rate_buckets AS b
        SET tokens = g.tokens - g.granted,
            refilled_at = CASE
                WHEN b.refilled_at > $6 + interval '5 seconds' THEN $6
                ELSE greatest(b.refilled_at, $6)
            END
        FROM granted AS g
        WHERE b.tenant_id = g.tenant_id
        RETURNING g.place AS "place!", g.granted::bigint AS "granted!", b.tokens AS "left!"
        "#,
        &tenants,
        &column(|draw| draw.per_second),
        &column(|draw| draw.burst),
        &column(|draw| draw.needed),
        &column(|draw| draw.wanted),
        now,
    )
    .fetch_all(connection)
    .await?;
    for row in rows {
        let place = usize::try_from(row.place - 1).ok().and_then(|place| open.get(place));
        if let Some(place) = place {
            let granted = u32::try_from(row.granted).unwrap_or(0);
            drawn[*place] = Some(Drawn { granted, left: row.left });
        }
    }
    Ok(())
}

async fn make(connection: &mut Connection, draws: &[Draw], now: DateTime<Utc>) -> Result<(), StoreError> {
    let tenants: Vec<String> = draws.iter().map(|draw| draw.tenant_id.to_string()).collect();
    let bursts: Vec<f64> = draws.iter().map(|draw| f64::from(draw.burst)).collect();
    sqlx::query!(
        r#"
        INSERT INTO trunkline.rate_buckets (tenant_id, tokens, refilled_at)
        SELECT tenant_id, tokens, $3
        FROM unnest($1::text[], $2::float8[]) AS n (tenant_id, tokens)
        ORDER BY tenant_id
        ON CONFLICT (tenant_id) DO NOTHING
        "#,
        &tenants,
        &bursts,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}
