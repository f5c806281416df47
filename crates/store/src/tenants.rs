//! Tenants, each with its first endpoint, named `default`.

mod create;
mod find;
mod update;

pub use create::{NewTenant, create};
pub use find::{Tenant, TenantStatus, find, list};
pub use update::{DefaultEndpointChange, set_status, update_default_endpoint};

/// The name of the endpoint that a tenant's `target_url` stands for.
pub const DEFAULT_ENDPOINT: &str = "default";
