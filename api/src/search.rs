//! Finding events: the filter that listing, export and erasing share, and one bounded step through what it lets pass.

mod member;

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use trunkline_domain::{EventId, EventStatus};
use trunkline_store::api_keys::KeyOwner;
use trunkline_store::events::{self, EventFilter, EventSummary, IdRange};
use trunkline_store::{Connection, StoreError};
use utoipa::IntoParams;

pub(crate) use member::Member;

use crate::problem::Problem;
use crate::query;

/// How many events one step looks at where only a look decides: it bounds what a step costs.
const CANDIDATES_MAX: usize = 1_000;

/// Payloads read at a time: a few megabytes at most.
const PAYLOADS_AT_A_TIME: usize = 20;

/// How long one step goes on reading payloads; less than a search may take in all.
const READING: Duration = Duration::from_secs(3);

/// The parameters that name events, as they stand in a query.
#[derive(serde::Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Texts {
    /// PENDING, DELIVERED, FAILED, CANCELLED or UNROUTED
    pub(crate) status: Option<String>,
    /// The exact type
    pub(crate) r#type: Option<String>,
    /// With a delivery to this endpoint, `ep_...`
    pub(crate) endpoint_id: Option<String>,
    /// Created later than this, RFC 3339
    pub(crate) after: Option<String>,
    /// Created earlier than this, RFC 3339
    pub(crate) before: Option<String>,
    /// With this member: a dotted path, a colon, and the text of its value, such as `order.id:42` or `customer.email:jo@example.com`; arrays count from 0
    pub(crate) payload: Option<String>,
}

/// Which events.
#[derive(Debug, Clone, Default)]
pub(crate) struct Search {
    pub(crate) filter: EventFilter,
    pub(crate) payload: Option<Member>,
}

/// What a step found.
pub(crate) struct Found {
    pub(crate) events: Vec<EventSummary>,
    /// The last event looked at, if there may be more below it.
    pub(crate) next: Option<EventId>,
}

impl Texts {
    pub(crate) fn search(&self) -> Result<Search, Problem> {
        let status = self.status.as_deref().map(|word| {
            EventStatus::from_word(word).ok_or_else(|| {
                Problem::bad_query(
                    Some("status"),
                    "status accepts PENDING, DELIVERED, FAILED, CANCELLED and UNROUTED.",
                )
            })
        });
        let filter = EventFilter {
            status: status.transpose()?,
            event_type: query::value("type", self.r#type.as_deref(), "1 to 128 visible ASCII characters")?,
            endpoint_id: query::value(
                "endpoint_id",
                self.endpoint_id.as_deref(),
                "an endpoint's id, ep_...",
            )?,
            after: query::time("after", self.after.as_deref())?,
            before: query::time("before", self.before.as_deref())?,
        };
        Ok(Search { filter, payload: query::value("payload", self.payload.as_deref(), member::ACCEPTS)? })
    }
}

impl Search {
    /// Whether it lets every event pass.
    pub(crate) fn is_everything(&self) -> bool {
        let filter = &self.filter;
        filter.status.is_none()
            && filter.event_type.is_none()
            && filter.endpoint_id.is_none()
            && filter.after.is_none()
            && filter.before.is_none()
            && self.payload.is_none()
    }

    /// The ids that can pass, below `below`. Times bound the ids too, which spares the partitions outside.
    pub(crate) fn range(&self, below: Option<EventId>) -> IdRange {
        let mut range = IdRange::ALL;
        if let Some(after) = self.filter.after {
            range.from = EventId::first_at(after).as_uuid();
        }
        if let Some(before) = self.filter.before {
            // Ids of that very millisecond are let in; the summary's own filter is exact.
            range.before = EventId::first_at(before + chrono::Duration::milliseconds(1)).as_uuid();
        }
        if let Some(below) = below {
            range.before = range.before.min(below.as_uuid());
        }
        range
    }

    /// The newest events in the range that pass, at most `limit`. It looks at a bounded number, so that it may find few, even
    /// none, and still tell where to go on.
    pub(crate) async fn step(
        &self,
        connection: &mut Connection,
        owner: &KeyOwner,
        range: IdRange,
        limit: usize,
        now: DateTime<Utc>,
    ) -> Result<Found, StoreError> {
        let filter = &self.filter;
        // Without a filter that only a look at the event decides, one more than the page tells whether there is more.
        let is_filtered = filter.status.is_some()
            || filter.event_type.is_some()
            || filter.endpoint_id.is_some()
            || self.payload.is_some();
        let wanted = if is_filtered { CANDIDATES_MAX } else { limit + 1 };
        let (recent, earlier) = range.last_day(now);
        let mut candidates = self.candidates(connection, owner, recent, wanted).await?;
        if candidates.len() < wanted && !earlier.is_empty() {
            let left = wanted - candidates.len();
            candidates.extend(self.candidates(connection, owner, earlier, left).await?);
        }
        let is_full = candidates.len() == wanted;
        let mut found = self.among(connection, owner, &candidates, limit).await?;
        if found.next.is_some_and(|last| candidates.last() == Some(&last)) || found.next.is_none() {
            found.next = candidates.last().copied().filter(|_| is_full);
        }
        Ok(found)
    }

    /// The newest events in the range that may pass, at most `wanted`.
    async fn candidates(
        &self,
        connection: &mut Connection,
        owner: &KeyOwner,
        range: IdRange,
        wanted: usize,
    ) -> Result<Vec<EventId>, StoreError> {
        let (lane, tenant) = (owner.lane, &owner.tenant_id);
        let count = i64::try_from(wanted).unwrap_or(i64::MAX);
        match self.filter.status {
            Some(EventStatus::Failed) => {
                events::with_status_failed(connection, lane, tenant, range, count).await
            }
            Some(EventStatus::Pending) => {
                events::with_status_pending(connection, lane, tenant, range, count).await
            }
            _ => events::with_any_status(connection, lane, tenant, range, count).await,
        }
    }

    /// Those of `candidates`, newest first, that pass, at most `limit`; `next` is where it stopped before their end.
    pub(crate) async fn among(
        &self,
        connection: &mut Connection,
        owner: &KeyOwner,
        candidates: &[EventId],
        limit: usize,
    ) -> Result<Found, StoreError> {
        let rows = if self.payload.is_some() { candidates.len() } else { limit };
        let rows = i64::try_from(rows).unwrap_or(i64::MAX);
        let (lane, tenant) = (owner.lane, &owner.tenant_id);
        let passing = events::summarise(connection, lane, tenant, candidates, &self.filter, rows).await?;
        let Some(member) = &self.payload else {
            let next = passing.last().filter(|_| passing.len() == limit).map(|last| last.event_id);
            return Ok(Found { events: passing, next });
        };
        let started = Instant::now();
        let mut found = Found { events: Vec::new(), next: None };
        for some in passing.chunks(PAYLOADS_AT_A_TIME) {
            let ids: Vec<EventId> = some.iter().map(|event| event.event_id).collect();
            let payloads = events::payloads(connection, lane, tenant, &ids).await?;
            for event in some {
                let payload = payloads.iter().find(|(id, _)| *id == event.event_id);
                if payload.is_some_and(|(_, payload)| member.is_in(payload)) {
                    found.events.push(event.clone());
                }
                if found.events.len() == limit {
                    found.next = Some(event.event_id);
                    return Ok(found);
                }
            }
            if started.elapsed() > READING {
                found.next = ids.last().copied();
                return Ok(found);
            }
        }
        Ok(found)
    }
}
