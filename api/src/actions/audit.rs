//! Who switched what.

use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};
use trunkline_domain::{AuditId, EventId, TenantId};
use trunkline_store::audit::{self, Recorded};
use trunkline_store::events::IdRange;
use utoipa::{IntoParams, ToSchema};

use crate::auth::Operator;
use crate::problem::{Problem, ProblemBody};
use crate::state::State;
use crate::{page, query};

/// Which entries, and where to go on.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Parameters {
    /// Of this tenant only
    tenant_id: Option<String>,
    /// Done later than this, RFC 3339
    after: Option<String>,
    /// Done earlier than this, RFC 3339
    before: Option<String>,
    /// 1 to 100; 50 if it is not said
    limit: Option<String>,
    /// From the page before, with the same conditions
    next_token: Option<String>,
}

/// What somebody did.
#[derive(Serialize, ToSchema)]
pub(crate) struct AuditEntry {
    #[schema(value_type = String, example = "adt_01a20ada2c007abc8123456789abcdef")]
    audit_id: AuditId,
    at: DateTime<Utc>,
    /// `operator:` and the first 12 hexadecimal digits of the key's SHA-256, `key:` and the id of a tenant's key, `login:` and a
    /// database login (the command line, or SQL), `anyone` where no key was asked for, or `trunkline` where a worker followed a rule.
    #[schema(example = "operator:9f86d081884c")]
    actor: String,
    /// `tenant.create`, `change`, `suspend`, `resume`, `delete`; `endpoint.create`, `change`, `enable`, `disable`, `disable_gone`,
    /// `disable_failing`, `pause`, `resume`, `rotate_secret`, `delete`; `api_key.create`, `revoke`; `event_type.describe`, `delete`;
    /// `replay.start`, `pause`, `resume`, `cancel`; `dead_letters.requeue`, `purge`; `payloads.erase`; `reception.enable`, `disable`;
    /// `secrets.reencrypt`; `schema.migrate`, `distribute`; `restore.hold`, `release`; `retention.apply`;
    /// `reader.bind`, `unbind`; `table.watch`, `unwatch`.
    #[schema(example = "tenant.suspend")]
    action: String,
    /// Whose it was; null = of all tenants.
    #[schema(value_type = Option<String>, example = "acme")]
    tenant_id: Option<TenantId>,
    /// What it was done to: an endpoint, key, replay, erasure, event or event type; the sealing key or the version of the schema that
    /// holds from then on; null = the tenant itself, or all of them.
    target: Option<String>,
    /// The `x-request-id` of the answer; null = it was no request of this API.
    request_id: Option<String>,
}

/// A page of the audit, newest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct AuditPage {
    entries: Vec<AuditEntry>,
    /// For the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
    /// Entries on this page.
    total_count: usize,
}

/// See who switched what
///
/// Every action of an operator and every switch of a tenant, newest first. Entries are kept for 400 days.
#[utoipa::path(
    operation_id = "listAudit",
    get, path = "/v1/audit", tag = "audit", security(("operator" = [])), params(Parameters),
    responses(
        (status = 200, description = "A page.", body = AuditPage, headers(("Link" = String, description = "`rel=\"next\"`: the next page"))),
        (status = 400, description = "A parameter is unknown or has an invalid value.", body = ProblemBody),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "Not an operator's key.", body = ProblemBody),
        (status = 503, description = "The database is away.", body = ProblemBody),
    )
)]
pub(crate) async fn list(
    state: web::Data<State>,
    request: HttpRequest,
    _operator: Operator,
) -> Result<HttpResponse, Problem> {
    let parameters: Parameters = query::parse(&request)?;
    let limit = query::limit(parameters.limit.as_deref())?;
    let accepts = "3 to 50 characters of a-z, 0-9 and -";
    let tenant_id = query::value::<TenantId>("tenant_id", parameters.tenant_id.as_deref(), accepts)?;
    let after = query::time("after", parameters.after.as_deref())?;
    let before = query::time("before", parameters.before.as_deref())?;
    let bound_to = format!("audit {tenant_id:?} {after:?} {before:?}");
    let cursor = page::open(&state, page::OPERATOR, &bound_to, parameters.next_token.as_deref())?;
    let mut range = range(after, before);
    if let Some(cursor) = cursor {
        range.before = page::ids::<1>(&cursor)?[0];
    }
    let mut connection = state.search_for_operator().await?;
    // One more than the page tells whether there is another.
    let rows = i64::try_from(limit + 1).unwrap_or(i64::MAX);
    let mut found = audit::list(&mut connection, tenant_id.as_ref(), range, rows).await?;
    let has_more = found.len() > limit;
    found.truncate(limit);
    let last = found.last().filter(|_| has_more);
    let seal =
        |last: &Recorded| page::seal(&state, page::OPERATOR, &bound_to, last.audit_id.as_uuid().as_bytes());
    let next_token = last.map(seal).transpose()?;
    let mut response = page::response(&request, next_token.as_deref());
    let entries: Vec<_> = found.into_iter().map(AuditEntry::from).collect();
    Ok(response.json(AuditPage { total_count: entries.len(), entries, next_token }))
}

/// Exclusive at both ends, by the milliseconds that ids carry.
fn range(after: Option<DateTime<Utc>>, before: Option<DateTime<Utc>>) -> IdRange {
    let first_at = |time: DateTime<Utc>| EventId::first_at(time).as_uuid();
    IdRange {
        from: after.map_or(IdRange::ALL.from, |after| first_at(after + Duration::milliseconds(1))),
        before: before.map_or(IdRange::ALL.before, first_at),
    }
}

impl From<Recorded> for AuditEntry {
    fn from(entry: Recorded) -> Self {
        Self {
            audit_id: entry.audit_id,
            at: entry.at,
            actor: entry.actor,
            action: entry.action,
            tenant_id: entry.tenant_id,
            target: entry.target,
            request_id: entry.request_id,
        }
    }
}
