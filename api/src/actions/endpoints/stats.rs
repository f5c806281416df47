use std::collections::BTreeMap;

use actix_web::{HttpRequest, web};
use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};
use trunkline_domain::{EndpointId, EventId};
use trunkline_store::endpoints::{self, LOOKED_AT_MAX};
use trunkline_store::events::IdRange;
use utoipa::{IntoParams, ToSchema};

use super::{id, shown};
use crate::auth::Reader;
use crate::problem::{Problem, ProblemBody};
use crate::query;
use crate::state::State;

/// Which events.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Parameters {
    /// Created later than this, RFC 3339; a day before `before` if it is not said
    after: Option<String>,
    /// Created earlier than this, RFC 3339; now if it is not said
    before: Option<String>,
}

/// How an endpoint fared with the events of a time range, to the millisecond of their creation.
#[derive(Serialize, ToSchema)]
pub(crate) struct EndpointStats {
    #[schema(value_type = String)]
    endpoint_id: EndpointId,
    after: DateTime<Utc>,
    before: DateTime<Utc>,
    deliveries: DeliveryStats,
    /// Attempts by outcome; see the attempts of an event for the words.
    attempts: BTreeMap<String, i64>,
    duration_ms: Durations,
    /// False: the tenant has more events in the range than are looked at, and these are of the newest.
    complete: bool,
}

/// Deliveries by status.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) struct DeliveryStats {
    pending: i64,
    delivered: i64,
    failed: i64,
    cancelled: i64,
    /// Those of `FAILED` that used up their budget.
    #[serde(rename = "dead_letters")]
    dead_letters: i64,
}

/// How long attempts took, in milliseconds; null = none was made.
#[derive(Serialize, ToSchema)]
pub(crate) struct Durations {
    p50: Option<f64>,
    p95: Option<f64>,
}

/// Show how an endpoint fares
///
/// Deliveries and attempts of events created in a time range: the last 24 hours if it is not said.
#[utoipa::path(
    operation_id = "showEndpointStats",
    get, path = "/v1/endpoints/{endpoint_id}/stats", tag = "endpoints", security(("key" = [])),
    params(("endpoint_id" = String, Path, description = "ep_..."), Parameters),
    responses(
        (status = 200, description = "Counts and latencies.", body = EndpointStats),
        (status = 400, description = "A parameter is unknown or has an invalid value.", body = ProblemBody),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "The key lacks the scope read.", body = ProblemBody),
        (status = 404, description = "There is none, or it is another tenant's.", body = ProblemBody),
        (status = 429, description = "The tenant's searches use its whole share; see Retry-After.", body = ProblemBody),
        (status = 503, description = "The database is away.", body = ProblemBody),
    )
)]
pub(crate) async fn stats(
    state: web::Data<State>,
    request: HttpRequest,
    path: web::Path<String>,
    Reader(owner): Reader,
) -> Result<web::Json<EndpointStats>, Problem> {
    let endpoint_id = id(&path)?;
    let parameters: Parameters = query::parse(&request)?;
    let before = query::time("before", parameters.before.as_deref())?.unwrap_or_else(|| state.clock.now());
    let after = query::time("after", parameters.after.as_deref())?.unwrap_or(before - Duration::hours(24));
    if after >= before {
        return Err(Problem::bad_query(Some("after"), "after accepts a time earlier than before."));
    }
    let (lane, tenant) = (owner.lane, &owner.tenant_id);
    let mut connection = state.search_for_tenant(&owner.tenant_id).await?;
    shown(&mut connection, tenant, endpoint_id).await?;
    // Exclusive at both ends, by the milliseconds that ids carry; events of this very moment belong to the range.
    let millisecond = Duration::milliseconds(1);
    let range = IdRange {
        from: EventId::first_at(after + millisecond).as_uuid(),
        before: EventId::first_at(before + millisecond).as_uuid(),
    };
    let deliveries = endpoints::count_deliveries(&mut connection, lane, tenant, endpoint_id, range).await?;
    let attempts = endpoints::count_attempts(&mut connection, lane, tenant, endpoint_id, range).await?;
    Ok(web::Json(EndpointStats {
        endpoint_id,
        after,
        before,
        deliveries: DeliveryStats {
            pending: deliveries.pending,
            delivered: deliveries.delivered,
            failed: deliveries.failed,
            cancelled: deliveries.cancelled,
            dead_letters: deliveries.dead_letters,
        },
        attempts: attempts.outcomes.into_iter().collect(),
        duration_ms: Durations { p50: attempts.p50_ms, p95: attempts.p95_ms },
        complete: deliveries.looked_at < LOOKED_AT_MAX && attempts.looked_at < LOOKED_AT_MAX,
    }))
}
