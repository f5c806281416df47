//! Counts, success rate and latency over time.

mod buckets;

use actix_web::{HttpRequest, web};
use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};
use trunkline_domain::{EndpointId, EventId, EventType};
use trunkline_store::stats::{self, Scope};
use trunkline_store::{Connection, StoreError};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use buckets::{BucketWidth, Buckets};

use crate::auth::Reader;
use crate::problem::{Problem, ProblemBody};
use crate::query;
use crate::state::State;

/// Which part of history, and how finely.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Parameters {
    /// Events created later than this, RFC 3339; 24 hours before `before` if it is not said
    after: Option<String>,
    /// Events created earlier than this, RFC 3339; now if it is not said. At most 31 days after `after`
    before: Option<String>,
    /// 1m, 5m, 1h or 1d; 1h if it is not said. At most 200 buckets
    bucket: Option<String>,
    /// Only deliveries to this endpoint, `ep_...`, their attempts, and the events that have one
    endpoint_id: Option<String>,
    /// Only events of this exact type, and what belongs to them
    r#type: Option<String>,
}

/// What happened to the events of a time.
#[derive(Serialize, ToSchema)]
pub(crate) struct Stats {
    after: DateTime<Utc>,
    before: DateTime<Utc>,
    #[schema(example = "1h")]
    bucket: &'static str,
    /// Of all buckets together.
    total: Figures,
    /// Oldest first, without gaps.
    buckets: Vec<Bucket>,
}

/// A bucket of time.
#[derive(Serialize, ToSchema)]
pub(crate) struct Bucket {
    starts_at: DateTime<Utc>,
    ends_at: DateTime<Utc>,
    #[serde(flatten)]
    figures: Figures,
}

/// Everything is counted where its event was created: an attempt of today for an event of yesterday belongs to yesterday.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub(crate) struct Figures {
    events: i64,
    deliveries: Deliveries,
    /// By outcome; those that did not occur are 0.
    attempts: Attempts,
    /// Attempts that succeeded, of all; null = there was none.
    success_rate: Option<f64>,
    /// How long attempts took; null = none was measured.
    latency_ms: Option<LatencyMs>,
}

/// Deliveries by status.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub(crate) struct Deliveries {
    pending: i64,
    delivered: i64,
    /// Dead letters among them.
    failed: i64,
    /// FAILED and not attempted again by itself.
    dead_letters: i64,
    cancelled: i64,
}

/// Attempts by outcome.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub(crate) struct Attempts {
    total: i64,
    succeeded: i64,
    rejected: i64,
    timeout: i64,
    dns_error: i64,
    tls_error: i64,
    connection_error: i64,
    blocked: i64,
    internal_error: i64,
    abandoned: i64,
    superseded: i64,
}

/// Percentiles, in milliseconds.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct LatencyMs {
    p50: f64,
    p95: f64,
    p99: f64,
}

/// Show statistics
///
/// Counts of events, deliveries and attempts, success rate and latency, in buckets of time.
#[utoipa::path(
    operation_id = "showStats",
    get, path = "/v1/stats", tag = "stats", security(("key" = [])), params(Parameters),
    responses(
        (status = 200, description = "The figures.", body = Stats),
        (status = 400, description = "A parameter is unknown or has an invalid value.", body = ProblemBody),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "The key lacks the scope read.", body = ProblemBody),
        (status = 422, description = "It would take longer than 5 s: ask for less.", body = ProblemBody),
        (status = 429, description = "The tenant's searches use its whole share; see Retry-After.", body = ProblemBody),
        (status = 503, description = "The database is away.", body = ProblemBody),
    )
)]
pub(crate) async fn stats(
    state: web::Data<State>,
    request: HttpRequest,
    Reader(owner): Reader,
) -> Result<web::Json<Stats>, Problem> {
    let parameters: Parameters = query::parse(&request)?;
    let endpoint_id: Option<EndpointId> =
        query::value("endpoint_id", parameters.endpoint_id.as_deref(), "an endpoint's id, ep_...")?;
    let event_type: Option<EventType> =
        query::value("type", parameters.r#type.as_deref(), "1 to 128 visible ASCII characters")?;
    let width = query::value("bucket", parameters.bucket.as_deref(), "1m, 5m, 1h and 1d")?;
    let width = width.unwrap_or(BucketWidth::HOUR);
    let before = query::time("before", parameters.before.as_deref())?.unwrap_or_else(|| state.clock.now());
    let after = query::time("after", parameters.after.as_deref())?.unwrap_or(before - Duration::days(1));
    let buckets = Buckets::between(after, before, width)?;
    let id = |at: &DateTime<Utc>| EventId::first_at(*at).as_uuid();
    let from: Vec<Uuid> = buckets.bounds.iter().map(|(starts_at, _)| id(starts_at)).collect();
    let until: Vec<Uuid> = buckets.bounds.iter().map(|(_, ends_at)| id(ends_at)).collect();
    let scope = Scope {
        lane: owner.lane,
        tenant_id: &owner.tenant_id,
        endpoint_id,
        event_type: event_type.as_ref(),
        from: &from,
        before: &until,
    };
    let mut connection = state.search_for_tenant(&owner.tenant_id).await?;
    let counted = count(&mut connection, scope).await;
    let (total, figures) = counted.map_err(|error| {
        if error.is_too_slow() { Problem::too_much_to_count() } else { Problem::from(error) }
    })?;
    let bucket = |((starts_at, ends_at), figures)| Bucket { starts_at, ends_at, figures };
    let buckets = buckets.bounds.into_iter().zip(figures).map(bucket).collect();
    Ok(web::Json(Stats { after, before, bucket: width.as_str(), total, buckets }))
}

/// The figures of all buckets together, and of each.
async fn count(connection: &mut Connection, scope: Scope<'_>) -> Result<(Figures, Vec<Figures>), StoreError> {
    // The total comes first, the buckets after it by their numbers from 1.
    let mut all = vec![Figures::default(); scope.from.len() + 1];
    let place = |bucket: Option<i64>| bucket.map_or(0, |number| usize::try_from(number).unwrap_or(0));
    for found in stats::events(connection, scope).await? {
        all[place(found.bucket)].events = found.events;
    }
    for found in stats::deliveries(connection, scope).await? {
        all[place(found.bucket)].deliveries = Deliveries {
            pending: found.pending,
            delivered: found.delivered,
            failed: found.failed,
            dead_letters: found.dead,
            cancelled: found.cancelled,
        };
    }
    for found in stats::attempts(connection, scope).await? {
        all[place(found.bucket)].attempts.add(&found.outcome, found.attempts);
    }
    for found in stats::latencies(connection, scope).await? {
        if let [p50, p95, p99] = found.percentiles_ms[..] {
            all[place(found.bucket)].latency_ms = Some(LatencyMs { p50, p95, p99 });
        }
    }
    for figures in &mut all {
        figures.success_rate = figures.attempts.success_rate();
    }
    let buckets = all.split_off(1);
    Ok((all.pop().unwrap_or_default(), buckets))
}

impl Attempts {
    fn add(&mut self, outcome: &str, count: i64) {
        self.total += count;
        let place = match outcome {
            "succeeded" => &mut self.succeeded,
            "rejected" => &mut self.rejected,
            "timeout" => &mut self.timeout,
            "dns_error" => &mut self.dns_error,
            "tls_error" => &mut self.tls_error,
            "connection_error" => &mut self.connection_error,
            "blocked" => &mut self.blocked,
            "abandoned" => &mut self.abandoned,
            "superseded" => &mut self.superseded,
            _ => &mut self.internal_error,
        };
        *place += count;
    }

    fn success_rate(&self) -> Option<f64> {
        // Counts of rows stay far below what a double holds exactly.
        (self.total > 0).then(|| self.succeeded as f64 / self.total as f64)
    }
}
