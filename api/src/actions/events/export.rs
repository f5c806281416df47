//! History as a stream. Between two chunks nothing is held: no connection to the database while a slow client reads, no more than a chunk
//! in memory. When a page cannot be read the stream breaks, so that nobody takes a part for the whole.

use std::collections::VecDeque;

use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::stream;
use serde::Serialize;
use serde_json::value::RawValue;
use trunkline_domain::{EventId, EventStatus, EventType};
use trunkline_store::api_keys::KeyOwner;
use trunkline_store::events::{self, EventSummary};
use utoipa::ToSchema;

use crate::auth::{self, Reader};
use crate::problem::{Problem, ProblemBody};
use crate::query;
use crate::search::{Search, Texts};
use crate::share::Exporting;
use crate::state::State;

/// Events found at a time.
const PAGE: usize = 500;

/// Payloads read, and sent, at a time.
const PAYLOADS_AT_A_TIME: usize = 20;

/// Their bytes, unless one alone has more.
const CHUNK_BYTES_MAX: usize = 256 * 1024;

/// What a line has beside its payload, about.
const LINE_BYTES: usize = 512;

/// A line of an export.
#[derive(Serialize, ToSchema)]
pub(crate) struct ExportedEvent {
    #[schema(value_type = String)]
    event_id: EventId,
    #[schema(value_type = Option<String>)]
    r#type: Option<EventType>,
    #[schema(value_type = String)]
    status: EventStatus,
    created_at: DateTime<Utc>,
    attempts: u32,
    last_attempt_at: Option<DateTime<Utc>>,
    next_attempt_at: Option<DateTime<Utc>>,
    /// As it was published, but for line breaks between its parts, which are spaces here; null = erased.
    #[schema(value_type = Option<serde_json::Value>)]
    payload: Option<Box<RawValue>>,
}

/// Export events
///
/// Every event that passes the filters, newest first, one JSON document a line, however many they are. An answer that ends
/// without its last chunk is incomplete; go on with `before` set to the `created_at` of the last line. A tenant runs two at one time; one
/// whose client neither takes nor sends anything for 30 s ends, and so does one whose key ends.
#[utoipa::path(
    operation_id = "exportEvents",
    get, path = "/v1/events/export", tag = "events", security(("key" = [])), params(Texts),
    responses(
        (status = 200, description = "One event a line.", body = ExportedEvent, content_type = "application/x-ndjson"),
        (status = 400, description = "A parameter is unknown or has an invalid value.", body = ProblemBody),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "The key lacks the scope read.", body = ProblemBody),
        (status = 429, description = "Two exports of the tenant are running, or its searches use its whole share; see Retry-After.", body = ProblemBody),
        (status = 503, description = "Too many exports are running, or the database is away; see Retry-After.", body = ProblemBody),
    )
)]
pub(crate) async fn export(
    state: web::Data<State>,
    request: HttpRequest,
    Reader(owner): Reader,
) -> Result<HttpResponse, Problem> {
    let search = query::parse::<Texts>(&request)?.search()?;
    let key = auth::key_hash(&request).ok_or_else(Problem::unauthenticated)?;
    let room = state.exports.begin(&owner.tenant_id)?;
    let mut walk =
        Walk { state, key, owner, search, found: VecDeque::new(), below: None, is_over: false, _room: room };
    // What is wrong from the start is told by a status, not by a stream that breaks.
    walk.find().await?;
    let lines = stream::try_unfold(walk, |mut walk| async move {
        // Whatever it is, the client sees the stream break; the log has the reason.
        let lines = walk.lines().await.map_err(|problem| std::io::Error::other(problem.to_string()))?;
        Ok::<_, std::io::Error>(lines.map(|lines| (lines, walk)))
    });
    Ok(HttpResponse::Ok().content_type("application/x-ndjson").streaming(lines))
}

struct Walk {
    state: web::Data<State>,
    /// Its hash: the key may end while the export runs.
    key: [u8; 32],
    owner: KeyOwner,
    search: Search,
    /// What was found and not sent yet.
    found: VecDeque<EventSummary>,
    below: Option<EventId>,
    /// Nothing is left to be found.
    is_over: bool,
    _room: Exporting,
}

impl Walk {
    /// The next lines; `None` = that was all.
    async fn lines(&mut self) -> Result<Option<Bytes>, Problem> {
        let owner = self.state.keys.find(&self.state.pool, &self.state.clock, self.key).await?;
        owner.ok_or_else(Problem::unauthenticated)?;
        while self.found.is_empty() {
            if self.is_over {
                return Ok(None);
            }
            self.find().await?;
        }
        let (count, bytes) = chunk(&self.found);
        let some: Vec<EventSummary> = self.found.drain(..count).collect();
        let ids: Vec<EventId> = some.iter().map(|event| event.event_id).collect();
        let mut connection = self.state.search_for_tenant(&self.owner.tenant_id).await?;
        let mut payloads =
            events::payloads(&mut connection, self.owner.lane, &self.owner.tenant_id, &ids).await?;
        drop(connection);
        let mut lines = Vec::with_capacity(bytes + count * LINE_BYTES);
        for event in some {
            let payload = payloads.iter_mut().find(|(id, _)| *id == event.event_id);
            let payload = payload.map(|(_, payload)| std::mem::take(payload));
            let line = ExportedEvent::of(event, payload)?;
            serde_json::to_writer(&mut lines, &line).map_err(Problem::internal)?;
            lines.push(b'\n');
        }
        Ok(Some(lines.into()))
    }

    async fn find(&mut self) -> Result<(), Problem> {
        let mut connection = self.state.search_for_tenant(&self.owner.tenant_id).await?;
        let range = self.search.range(self.below);
        let found =
            self.search.step(&mut connection, &self.owner, range, PAGE, self.state.clock.now()).await?;
        self.found.extend(found.events);
        self.below = found.next;
        self.is_over = found.next.is_none();
        Ok(())
    }
}

/// How many of the next events' payloads are a chunk, and their bytes.
fn chunk(found: &VecDeque<EventSummary>) -> (usize, usize) {
    let (mut count, mut bytes) = (0, 0);
    for event in found.iter().take(PAYLOADS_AT_A_TIME) {
        let more = bytes + event.payload_bytes as usize;
        if count > 0 && more > CHUNK_BYTES_MAX {
            break;
        }
        (count, bytes) = (count + 1, more);
    }
    (count, bytes)
}

impl ExportedEvent {
    fn of(event: EventSummary, payload: Option<Vec<u8>>) -> Result<Self, Problem> {
        Ok(Self {
            event_id: event.event_id,
            r#type: event.event_type,
            status: event.status,
            created_at: event.created_at,
            attempts: event.attempts,
            last_attempt_at: event.last_attempt_at,
            next_attempt_at: event.next_attempt_at,
            payload: payload.map(one_line).transpose()?,
        })
    }
}

/// JSON allows line breaks only between its parts, where a space means the same.
fn one_line(mut payload: Vec<u8>) -> Result<Box<RawValue>, Problem> {
    for byte in &mut payload {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    super::show::raw(payload)
}
