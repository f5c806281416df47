//! Requeue and purge: what to do with many dead letters at once.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use actix_web::web;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use trunkline_domain::EventId;
use trunkline_store::api_keys::KeyOwner;
use trunkline_store::audit::Action;
use trunkline_store::deliveries::{self, Cursor, DeliveryKey};
use trunkline_store::wake::Hint;
use trunkline_store::{Connection, StoreError};
use utoipa::ToSchema;

use super::{CANDIDATES_MAX, Texts, filter};
use crate::audit::{Trail, What};
use crate::auth::Writer;
use crate::body::{Json, Optional};
use crate::page;
use crate::problem::{Problem, ProblemBody};
use crate::state::State;

/// Dead letters that one request settles at most.
const SETTLED_MAX: u64 = 10_000;

/// How long one request goes on looking; less than a search may take in all.
const LOOKING: Duration = Duration::from_secs(4);

/// The most events that can be named.
const EVENT_IDS_MAX: usize = 1_000;

/// Which dead letters: those that meet every condition; `{}` means all.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Selection {
    /// Of these events, at most 1,000.
    event_ids: Option<Vec<String>>,
    /// Of this endpoint.
    endpoint_id: Option<String>,
    /// Of events of this exact type.
    r#type: Option<String>,
    /// Created later than this, RFC 3339.
    after: Option<String>,
    /// Created earlier than this, RFC 3339.
    before: Option<String>,
    /// From the answer before, with the same conditions: to go on below what was looked at.
    next_token: Option<String>,
}

/// How many were requeued.
#[derive(Serialize, ToSchema)]
pub(crate) struct Requeued {
    requeued: u64,
    /// Whether the bound of one request was reached: send it again with `next_token`.
    more: bool,
    /// Where to go on; there if `more`.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

/// How many were purged.
#[derive(Serialize, ToSchema)]
pub(crate) struct Purged {
    purged: u64,
    /// Whether the bound of one request was reached: send it again with `next_token`.
    more: bool,
    /// Where to go on; there if `more`.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

/// Requeue dead letters
///
/// They are due at once with a fresh attempt budget. Those whose payload was erased stay.
#[utoipa::path(
    operation_id = "requeueDeadLetters",
    post, path = "/v1/dead-letters/requeue", tag = "dead letters", security(("key" = [])),
    request_body = Selection,
    responses(
        (status = 200, description = "Requeued.", body = Requeued),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "The key lacks the scope write.", body = ProblemBody),
        (status = 413, description = "The body is too large.", body = ProblemBody),
        (status = 415, description = "The body is not JSON.", body = ProblemBody),
        (status = 422, description = "A field has an invalid value.", body = ProblemBody),
        (status = 429, description = "The tenant's searches use its whole share; see Retry-After.", body = ProblemBody),
        (status = 503, description = "The database is away.", body = ProblemBody),
    )
)]
pub(crate) async fn requeue(
    state: web::Data<State>,
    Writer(owner): Writer,
    trail: Trail,
    Optional(selection): Optional<Selection>,
) -> Result<web::Json<Requeued>, Problem> {
    let (requeued, next_token) = settle(&state, (&owner, &trail), &selection, Settlement::Requeue).await?;
    if requeued > 0 {
        state.waker.wake();
    }
    Ok(web::Json(Requeued { requeued, more: next_token.is_some(), next_token }))
}

/// Purge dead letters
///
/// They become CANCELLED and are dead letters no more; their history stays.
#[utoipa::path(
    operation_id = "purgeDeadLetters",
    post, path = "/v1/dead-letters/purge", tag = "dead letters", security(("key" = [])),
    request_body = Selection,
    responses(
        (status = 200, description = "Purged.", body = Purged),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "The key lacks the scope write.", body = ProblemBody),
        (status = 413, description = "The body is too large.", body = ProblemBody),
        (status = 415, description = "The body is not JSON.", body = ProblemBody),
        (status = 422, description = "A field has an invalid value.", body = ProblemBody),
        (status = 429, description = "The tenant's searches use its whole share; see Retry-After.", body = ProblemBody),
        (status = 503, description = "The database is away.", body = ProblemBody),
    )
)]
pub(crate) async fn purge(
    state: web::Data<State>,
    Writer(owner): Writer,
    trail: Trail,
    Json(selection): Json<Selection>,
) -> Result<web::Json<Purged>, Problem> {
    let (purged, next_token) = settle(&state, (&owner, &trail), &selection, Settlement::Purge).await?;
    Ok(web::Json(Purged { purged, more: next_token.is_some(), next_token }))
}

#[derive(Debug, Clone, Copy)]
enum Settlement {
    Requeue,
    Purge,
}

impl Settlement {
    const fn action(self) -> Action {
        match self {
            Self::Requeue => Action::RequeueDeadLetters,
            Self::Purge => Action::PurgeDeadLetters,
        }
    }
}

/// Goes down the list look by look and settles what matches, within its bounds. Returns how many, and, where there may be
/// more, the token to go on with.
async fn settle(
    state: &State,
    (owner, trail): (&KeyOwner, &Trail),
    selection: &Selection,
    settlement: Settlement,
) -> Result<(u64, Option<String>), Problem> {
    let named = selection.event_ids.as_deref().map(event_ids).transpose()?;
    let filter = filter(&Texts {
        endpoint_id: selection.endpoint_id.as_deref(),
        event_type: selection.r#type.as_deref(),
        after: selection.after.as_deref(),
        before: selection.before.as_deref(),
    })
    .map_err(Problem::of_body)?;
    let count = i64::try_from(CANDIDATES_MAX).unwrap_or(i64::MAX);
    let tenant = owner.tenant_id.as_str();
    let bound_to = format!("{settlement:?} {filter:?} {named:?}");
    let cursor = page::open(state, tenant, &bound_to, selection.next_token.as_deref());
    let cursor = cursor.map_err(Problem::of_body)?;
    let mut below = match cursor.as_deref() {
        Some(cursor) => page::ids(cursor).map(|[event_id, endpoint_id]| Cursor { event_id, endpoint_id })?,
        None => Cursor::TOP,
    };
    if let Some(highest) = named.as_ref().and_then(|named| named.last()) {
        below.event_id = below.event_id.min(highest.as_uuid());
    }
    let lowest = named.as_ref().and_then(|named| named.first().copied());
    let started = Instant::now();
    let mut settled = 0;
    while settled < SETTLED_MAX && started.elapsed() < LOOKING {
        // What was settled stays settled, whatever comes after it.
        let mut connection = state.search_for_tenant(&owner.tenant_id).await?;
        let found =
            deliveries::dead_letters(&mut connection, owner.lane, &owner.tenant_id, &filter, below, count)
                .await?;
        let Some(last) = found.last() else { return Ok((settled, None)) };
        below = Cursor { event_id: last.key.event_id.as_uuid(), endpoint_id: last.key.endpoint_id.as_uuid() };
        let is_last = found.len() < CANDIDATES_MAX || lowest.is_some_and(|lowest| last.key.event_id < lowest);
        let is_named = |event_id| named.as_ref().is_none_or(|named| named.contains(&event_id));
        let keys: Vec<DeliveryKey> = found
            .into_iter()
            .filter(|one| one.matches && is_named(one.key.event_id))
            .map(|one| one.key)
            .collect();
        let now = state.clock.now();
        let (count, released) = write(&mut connection, &keys, settlement, now).await?;
        // Once a request, by the first of its transactions that changes something.
        if settled == 0 && count > 0 {
            let what = What { tenant_id: &owner.tenant_id, target: None };
            trail.record(&mut connection, settlement.action(), what, now).await?;
        }
        connection.commit().await?;
        state.waker.wake_released(&released);
        settled += count;
        if is_last {
            return Ok((settled, None));
        }
    }
    let cursor = [below.event_id.into_bytes(), below.endpoint_id.into_bytes()].concat();
    Ok((settled, Some(page::seal(state, tenant, &bound_to, &cursor)?)))
}

async fn write(
    connection: &mut Connection,
    keys: &[DeliveryKey],
    settlement: Settlement,
    now: DateTime<Utc>,
) -> Result<(u64, Vec<Hint>), StoreError> {
    if keys.is_empty() {
        return Ok((0, Vec::new()));
    }
    match settlement {
        Settlement::Requeue => Ok((deliveries::requeue(connection, keys, now).await?, Vec::new())),
        Settlement::Purge => deliveries::purge_in_order(connection, keys, now).await,
    }
}

fn event_ids(texts: &[String]) -> Result<BTreeSet<EventId>, Problem> {
    if texts.len() > EVENT_IDS_MAX {
        return Err(Problem::bad_field(
            "event_ids",
            "event_ids takes at most 1000 ids; send several requests.",
        ));
    }
    let parsed: Result<_, _> = texts.iter().map(|text| text.parse()).collect();
    parsed.map_err(|error| Problem::bad_field("event_ids", &format!("event_ids: {error}.")))
}
