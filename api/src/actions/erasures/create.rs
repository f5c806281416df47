//! Erasing by predicate, step by step through what it names.

use std::time::{Duration, Instant};

use actix_web::web;
use serde::{Deserialize, Serialize};
use trunkline_boot::random::random_bytes;
use trunkline_domain::{ErasureId, EventId};
use trunkline_store::api_keys::KeyOwner;
use trunkline_store::audit::Action;
use trunkline_store::erasures;
use utoipa::ToSchema;

use crate::audit::{Trail, What};
use crate::auth::Writer;
use crate::body::Json;
use crate::page;
use crate::problem::{Problem, ProblemBody};
use crate::search::{Search, Texts};
use crate::state::State;

/// Events found in one step; each is erased in a transaction of at most [`ERASED_AT_A_TIME`].
const STEP: usize = 1_000;

/// Few enough that nobody waits long for a row that the transaction holds.
const ERASED_AT_A_TIME: usize = 100;

/// How long one request goes on; less than a search may take in all.
const WORKING: Duration = Duration::from_secs(3);

/// The most events that can be named.
const EVENT_IDS_MAX: usize = 1_000;

/// Which payloads: those of events that meet every condition; at least one must stand.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ErasureRequest {
    /// Of these events, at most 1,000.
    event_ids: Option<Vec<String>>,
    /// Of this exact type.
    r#type: Option<String>,
    /// Created later than this, RFC 3339.
    after: Option<String>,
    /// Created earlier than this, RFC 3339.
    before: Option<String>,
    /// With this member: a dotted path, a colon, and the text of its value; arrays count from 0.
    #[schema(example = "customer.email:jo@example.com")]
    payload: Option<String>,
    /// Only count.
    #[serde(default)]
    dry_run: bool,
    /// From the answer before, with the same conditions: goes on where that one stopped.
    next_token: Option<String>,
}

/// What one request erased, or would have.
#[derive(Serialize, ToSchema)]
pub(crate) struct Erased {
    /// Names the receipts, over all requests that go on with its token; absent in a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "ers_01a20ada2c007abc8123456789abcdef")]
    erasure_id: Option<ErasureId>,
    /// Payloads that were erased; absent in a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    erased: Option<u64>,
    /// Payloads that would be erased; only in a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    would_erase: Option<u64>,
    /// Whether the bound of one request was reached: send it again, with `next_token`.
    more: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

/// Erase payloads by predicate
///
/// One request works for a few seconds at most; while its answer says `more`, send the same body with `next_token`.
#[utoipa::path(
    operation_id = "erasePayloads",
    post, path = "/v1/erasures", tag = "erasures", security(("key" = [])),
    request_body = ErasureRequest,
    responses(
        (status = 200, description = "Erased, or counted.", body = Erased),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "The key lacks the scope write.", body = ProblemBody),
        (status = 413, description = "The body is too large.", body = ProblemBody),
        (status = 415, description = "The body is not JSON.", body = ProblemBody),
        (status = 422, description = "A field has an invalid value, or no condition stands.", body = ProblemBody),
        (status = 429, description = "The tenant's searches use its whole share; see Retry-After.", body = ProblemBody),
        (status = 503, description = "The database is away.", body = ProblemBody),
    )
)]
pub(crate) async fn create(
    state: web::Data<State>,
    Writer(owner): Writer,
    trail: Trail,
    Json(selection): Json<ErasureRequest>,
) -> Result<web::Json<Erased>, Problem> {
    let named = selection.event_ids.as_deref().map(event_ids).transpose()?;
    let texts = Texts {
        status: None,
        r#type: selection.r#type,
        endpoint_id: None,
        after: selection.after,
        before: selection.before,
        payload: selection.payload,
    };
    let search = texts.search().map_err(Problem::of_body)?;
    if named.is_none() && search.is_everything() {
        return Err(Problem::bad_field(
            "before",
            "Name at least one condition: event_ids, type, after, before or payload. All there is: before now.",
        ));
    }
    let tenant = owner.tenant_id.as_str();
    let bound_to = format!("erase {named:?} {search:?} {}", selection.dry_run);
    let cursor =
        page::open(&state, tenant, &bound_to, selection.next_token.as_deref()).map_err(Problem::of_body)?;
    let (below, erasure_id) = match cursor.as_deref().map(page::ids).transpose().map_err(Problem::of_body)? {
        Some([below, erasure_id]) => (Some(below.into()), erasure_id.into()),
        None => (None, ErasureId::mint(state.clock.now(), u64::from_ne_bytes(random_bytes()))),
    };
    let (owner, dry_run) = (&owner, selection.dry_run);
    let walk = Walk { state: &state, owner, trail: &trail, search: &search, erasure_id, dry_run };
    let (count, next) = walk.go(named.as_deref(), below).await?;
    let cursor = next.map(|last| [last.as_uuid().into_bytes(), erasure_id.as_uuid().into_bytes()].concat());
    let next_token = cursor.map(|cursor| page::seal(&state, tenant, &bound_to, &cursor)).transpose()?;
    Ok(web::Json(Erased {
        erasure_id: (!selection.dry_run).then_some(erasure_id),
        erased: (!selection.dry_run).then_some(count),
        would_erase: selection.dry_run.then_some(count),
        more: next_token.is_some(),
        next_token,
    }))
}

struct Walk<'a> {
    state: &'a State,
    owner: &'a KeyOwner,
    trail: &'a Trail,
    search: &'a Search,
    erasure_id: ErasureId,
    dry_run: bool,
}

impl Walk<'_> {
    /// Goes down from `below` and erases what passes, within the time of one request. Returns how many, and where to go on.
    async fn go(
        &self,
        named: Option<&[EventId]>,
        mut below: Option<EventId>,
    ) -> Result<(u64, Option<EventId>), Problem> {
        let started = Instant::now();
        let mut count = 0;
        loop {
            let mut connection = self.state.search_for_tenant(&self.owner.tenant_id).await?;
            let found = match named {
                Some(named) => {
                    let left: Vec<EventId> =
                        named.iter().copied().filter(|id| below.is_none_or(|below| *id < below)).collect();
                    self.search.among(&mut connection, self.owner, &left, STEP).await?
                }
                None => {
                    let range = self.search.range(below);
                    let now = self.state.clock.now();
                    self.search.step(&mut connection, self.owner, range, STEP, now).await?
                }
            };
            drop(connection);
            let ids: Vec<EventId> = found.events.iter().map(|event| event.event_id).collect();
            for some in ids.chunks(ERASED_AT_A_TIME) {
                count += self.erase(some, count == 0).await?;
                below = some.last().copied();
                if started.elapsed() > WORKING && below.as_ref() != ids.last() {
                    return Ok((count, below));
                }
            }
            match found.next {
                None => return Ok((count, None)),
                Some(next) if started.elapsed() > WORKING => return Ok((count, Some(next))),
                Some(next) => below = Some(next),
            }
        }
    }

    /// In a transaction of its own: what was erased stays erased, whatever comes after it. The first that erases something writes down
    /// that this request does.
    async fn erase(&self, events: &[EventId], is_first: bool) -> Result<u64, Problem> {
        let (lane, tenant) = (self.owner.lane, &self.owner.tenant_id);
        let mut connection = self.state.search_for_tenant(tenant).await?;
        let there = erasures::with_content(&mut connection, lane, tenant, events).await?;
        if self.dry_run || there.is_empty() {
            return Ok(there.len() as u64);
        }
        let now = self.state.clock.now();
        let (erased, released) =
            erasures::erase(&mut connection, lane, tenant, &there, self.erasure_id, now).await?;
        if is_first && erased > 0 {
            let what = What { tenant_id: tenant, target: Some(self.erasure_id.to_string()) };
            self.trail.record(&mut connection, Action::ErasePayloads, what, now).await?;
        }
        connection.commit().await?;
        self.state.waker.wake_released(&released);
        Ok(erased)
    }
}

/// The events named, newest first, each once.
fn event_ids(texts: &[String]) -> Result<Vec<EventId>, Problem> {
    if texts.len() > EVENT_IDS_MAX {
        return Err(Problem::bad_field(
            "event_ids",
            "event_ids takes at most 1000 ids; send several requests.",
        ));
    }
    let parsed: Result<Vec<EventId>, _> = texts.iter().map(|text| text.parse()).collect();
    let mut parsed =
        parsed.map_err(|error| Problem::bad_field("event_ids", &format!("event_ids: {error}.")))?;
    parsed.sort_unstable_by(|one, other| other.cmp(one));
    parsed.dedup();
    Ok(parsed)
}
