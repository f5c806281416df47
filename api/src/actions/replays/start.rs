use std::time::{Duration, Instant};

use actix_web::http::header::LOCATION;
use actix_web::{HttpResponse, web};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use trunkline_boot::random::random_bytes;
use trunkline_domain::{EndpointId, EventId, EventStatus, EventType, ReplayId};
use trunkline_store::api_keys::KeyOwner;
use trunkline_store::audit::Action;
use trunkline_store::replays::{self, NewReplay, Plan, ReplaySpec};
use trunkline_store::{Connection, StoreError, endpoints};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Replay;
use crate::audit::{Trail, What};
use crate::auth::Writer;
use crate::body::Json;
use crate::problem::{Problem, ProblemBody};
use crate::query::{time, value};
use crate::state::State;

/// Replays of one tenant that have not come to their end.
const OPEN_MAX: u64 = 10;

/// Deliveries a second where nothing is said.
const RATE: u32 = 100;

/// The most that can be said.
const RATE_MAX: u32 = 10_000;

/// How far back a replay reaches where nothing is said.
const REACH: chrono::Duration = chrono::Duration::hours(24);

/// Events that a dry run looks at, at most.
const COUNTED_MAX: u64 = 10_000;

/// How long a dry run goes on looking; less than a search may take in all.
const COUNTING: Duration = Duration::from_secs(3);

/// Which deliveries are made again: those that meet every condition. `{}` means all of the last 24 hours.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Predicate {
    /// DELIVERED, FAILED (dead letters), CANCELLED: deliveries that ended so. UNROUTED: events that no endpoint matched.
    /// All of these if it is not said; what is still attempted by itself is never touched.
    status: Option<String>,
    /// Only events of this exact type.
    r#type: Option<String>,
    /// Only events created later than this, RFC 3339; 24 hours before `before` if it is not said.
    after: Option<String>,
    /// Only events created earlier than this, RFC 3339; now if it is not said.
    before: Option<String>,
    /// Only deliveries of this endpoint.
    endpoint_id: Option<String>,
    /// Deliver to this endpoint, whatever its filters say; else to those that had them, or, for UNROUTED events, to those
    /// that match now.
    to_endpoint_id: Option<String>,
    /// Deliveries made due a second, 1 to 10,000; 100 if it is not said.
    rate: Option<u32>,
    /// true: only count, and store nothing.
    #[serde(default)]
    dry_run: bool,
}

/// What a replay would do.
#[derive(Serialize, ToSchema)]
pub(crate) struct DryRun {
    dry_run: bool,
    /// Events looked at.
    seen: u64,
    /// Deliveries that would be made due among them.
    counted: u64,
    /// Events among them that match but whose payload was erased.
    payload_gone: u64,
    /// Whether that is all of them; false = the bound of a dry run was reached.
    complete: bool,
}

/// Start a replay
///
/// A durable job: workers go through the events of the range, oldest first, and make deliveries due again, no faster than
/// its rate. It survives restarts. A dry run answers 200 with counts.
#[utoipa::path(
    operation_id = "startReplay",
    post, path = "/v1/replays", tag = "replays", security(("key" = [])),
    request_body = Predicate,
    responses(
        (status = 200, description = "What it would do (`dry_run`).", body = DryRun),
        (status = 201, description = "Started.", body = Replay, headers(("Location" = String, description = "The replay"))),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "The key lacks the scope write.", body = ProblemBody),
        (status = 409, description = "Too many replays of this tenant have not come to their end.", body = ProblemBody),
        (status = 413, description = "The body is too large.", body = ProblemBody),
        (status = 415, description = "The body is not JSON.", body = ProblemBody),
        (status = 422, description = "A field has an invalid value.", body = ProblemBody),
        (status = 429, description = "The tenant's searches use its whole share; see Retry-After.", body = ProblemBody),
        (status = 503, description = "The database is away.", body = ProblemBody),
    )
)]
pub(crate) async fn start(
    state: web::Data<State>,
    Writer(owner): Writer,
    trail: Trail,
    Json(predicate): Json<Predicate>,
) -> Result<HttpResponse, Problem> {
    let now = state.clock.now();
    let spec = spec(&owner, &predicate, now).map_err(Problem::of_body)?;
    let rate_per_second = rate(predicate.rate)?;
    let mut connection = state.search_for_tenant(&owner.tenant_id).await?;
    check_endpoints(&mut connection, &spec).await?;
    if predicate.dry_run {
        return Ok(HttpResponse::Ok().json(count(&mut connection, &spec).await?));
    }
    if replays::count_open(&mut connection, &owner.tenant_id).await? >= OPEN_MAX {
        return Err(Problem::too_many_replays(OPEN_MAX));
    }
    let replay_id = ReplayId::mint(now, u64::from_ne_bytes(random_bytes()));
    let new = NewReplay { replay_id, spec: &spec, rate_per_second, created_at: now };
    replays::create(&mut connection, &new).await?;
    let what = What { tenant_id: &owner.tenant_id, target: Some(replay_id.to_string()) };
    trail.record(&mut connection, Action::StartReplay, what, now).await?;
    let stored = replays::find(&mut connection, &owner.tenant_id, replay_id).await?;
    let replay = Replay::from(stored.ok_or_else(Problem::no_replay)?);
    connection.commit().await?;
    Ok(HttpResponse::Created().insert_header((LOCATION, format!("/v1/replays/{replay_id}"))).json(replay))
}

fn spec(owner: &KeyOwner, predicate: &Predicate, now: DateTime<Utc>) -> Result<ReplaySpec, Problem> {
    let endpoint = "an endpoint's id, ep_...";
    let status = predicate.status.as_deref().map(|word| {
        EventStatus::from_word(word).filter(|status| *status != EventStatus::Pending).ok_or_else(|| {
            Problem::bad_field("status", "status accepts DELIVERED, FAILED, CANCELLED and UNROUTED.")
        })
    });
    // What comes later is no past: a replay would never come to its end.
    let before = time("before", predicate.before.as_deref())?.map_or(now, |before| before.min(now));
    let after = time("after", predicate.after.as_deref())?.unwrap_or(before - REACH);
    if after >= before {
        return Err(Problem::bad_field("after", "after must be earlier than before, and than now."));
    }
    Ok(ReplaySpec {
        lane: owner.lane,
        tenant_id: owner.tenant_id.clone(),
        status: status.transpose()?,
        event_type: value::<EventType>(
            "type",
            predicate.r#type.as_deref(),
            "1 to 128 visible ASCII characters",
        )?,
        endpoint_id: value::<EndpointId>("endpoint_id", predicate.endpoint_id.as_deref(), endpoint)?,
        after,
        before,
        to_endpoint_id: value::<EndpointId>("to_endpoint_id", predicate.to_endpoint_id.as_deref(), endpoint)?,
    })
}

fn rate(asked: Option<u32>) -> Result<u32, Problem> {
    let rate = asked.unwrap_or(RATE);
    if (1..=RATE_MAX).contains(&rate) {
        return Ok(rate);
    }
    Err(Problem::bad_field("rate", "rate accepts 1 to 10000 deliveries a second."))
}

async fn check_endpoints(connection: &mut Connection, spec: &ReplaySpec) -> Result<(), Problem> {
    if let Some(from) = spec.endpoint_id
        && endpoints::takes_events(connection, &spec.tenant_id, from).await?.is_none()
    {
        return Err(Problem::bad_field("endpoint_id", "There is no endpoint with this endpoint_id."));
    }
    if let Some(to) = spec.to_endpoint_id
        && endpoints::takes_events(connection, &spec.tenant_id, to).await? != Some(true)
    {
        let detail = "to_endpoint_id accepts an endpoint that exists and is not the operational one.";
        return Err(Problem::bad_field("to_endpoint_id", detail));
    }
    Ok(())
}

async fn count(connection: &mut Connection, spec: &ReplaySpec) -> Result<DryRun, StoreError> {
    let started = Instant::now();
    let mut from = EventId::first_at(spec.after).as_uuid();
    let mut counts = DryRun { dry_run: true, seen: 0, counted: 0, payload_gone: 0, complete: true };
    loop {
        let Plan { events, is_last } = replays::plan(connection, spec, from).await?;
        for event in &events {
            counts.seen += 1;
            if event.is_payload_gone {
                counts.payload_gone += u64::from(!event.targets.is_empty());
            } else {
                counts.counted += event.targets.len() as u64;
            }
        }
        let Some(last) = events.last().filter(|_| !is_last) else { return Ok(counts) };
        if counts.seen >= COUNTED_MAX || started.elapsed() >= COUNTING {
            counts.complete = false;
            return Ok(counts);
        }
        from = Uuid::from_u128(last.event_id.as_uuid().as_u128() + 1);
    }
}
