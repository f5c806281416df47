//! Tenants, as they see themselves and as the operator sees them.

pub(crate) mod change;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod list;
pub(crate) mod operational;
pub(crate) mod show;
pub(crate) mod suspend;

use chrono::{DateTime, Utc};
use serde::Serialize;
use trunkline_domain::{EndpointId, TenantId};
use trunkline_egress::TargetUrl;
use trunkline_signing::Secret;
use trunkline_vault::Sealed;
use utoipa::ToSchema;

use crate::problem::Problem;
use crate::state::State;

/// A tenant.
#[derive(Serialize, ToSchema)]
pub(crate) struct Tenant {
    #[schema(value_type = String, example = "acme")]
    tenant_id: TenantId,
    /// Of its endpoint named `default`; null = it was deleted.
    target_url: Option<String>,
    /// ACTIVE or SUSPENDED.
    status: &'static str,
    /// Its events are kept so many days; null = as long as the operator keeps all.
    #[schema(example = 30)]
    retention_days: Option<i32>,
    /// Events a second it may publish; 0 = no limit, null = the installation's rate.
    rate_per_second: Option<u32>,
    /// Events it may publish at once; null = the installation's burst.
    burst: Option<u32>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<trunkline_store::tenants::Tenant> for Tenant {
    fn from(tenant: trunkline_store::tenants::Tenant) -> Self {
        Self {
            tenant_id: tenant.tenant_id,
            target_url: tenant.target_url,
            status: tenant.status.as_str(),
            retention_days: tenant.retention_days,
            rate_per_second: tenant.rate_per_second,
            burst: tenant.burst,
            created_at: tenant.created_at,
            updated_at: tenant.updated_at,
        }
    }
}

/// An id in a path. One that is none is answered like one that does not exist.
fn id(text: &str) -> Result<TenantId, Problem> {
    text.parse().map_err(|_| Problem::no_tenant())
}

fn target_url(state: &State, text: &str) -> Result<TargetUrl, Problem> {
    state
        .egress
        .check_url(text)
        .map_err(|refused| Problem::bad_field("target_url", &format!("target_url: {refused}.")))
}

/// A webhook secret that the tenant chose.
pub(super) fn secret(text: &str) -> Result<Secret, Problem> {
    Secret::parse(text)
        .map_err(|refused| Problem::bad_field("webhook_secret", &format!("webhook_secret: {refused}.")))
}

/// The longest retention of one's own; the operator's ends it sooner as a rule.
const RETENTION_DAYS_MAX: u32 = 3_650;

/// The highest publishing rate and burst, as of the settings.
const RATE_MAX: u32 = 1_000_000;

/// A retention in days.
pub(in crate::actions) fn retention_days(days: u32) -> Result<i32, Problem> {
    i32::try_from(days).ok().filter(|_| (1..=RETENTION_DAYS_MAX).contains(&days)).ok_or_else(|| {
        Problem::bad_field(
            "retention_days",
            "retention_days accepts 1 to 3650, or null for as long as all is kept.",
        )
    })
}

/// A rate or burst of its own, as the settings take them.
fn rate(field: &str, least: u32, number: u32) -> Result<u32, Problem> {
    if (least..=RATE_MAX).contains(&number) {
        return Ok(number);
    }
    let detail = format!("{field} accepts {least} to {RATE_MAX}, or null for the installation's.");
    Err(Problem::bad_field(field, &detail))
}

/// Encrypts a secret for its endpoint.
pub(super) fn seal(
    state: &State,
    tenant_id: &TenantId,
    endpoint_id: EndpointId,
    secret: &Secret,
) -> Result<Sealed, Problem> {
    let nonce = trunkline_boot::random::random_bytes();
    let text = secret.expose().as_bytes();
    state.vault.seal_secret(tenant_id, endpoint_id, text, nonce).map_err(Problem::internal)
}
