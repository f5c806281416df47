//! Tenants, each with its first endpoint, named `default`.

mod create;
mod delete;
mod find;
mod hold;
mod update;

pub use create::{NewTenant, create};
pub use delete::{Cleared, Ended, clear, end};
pub use find::{Tenant, TenantStatus, find, list};
pub(crate) use hold::hold;
pub use update::{
    DefaultEndpointChange, RateChange, set_rate, set_retention, set_status, update_default_endpoint,
};

/// The name of the endpoint that a tenant's `target_url` stands for.
pub const DEFAULT_ENDPOINT: &str = "default";
