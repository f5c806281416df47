//! The types that a tenant has described.

pub(crate) mod delete;
pub(crate) mod describe;
pub(crate) mod list;
pub(crate) mod show;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use trunkline_domain::EventType;
use trunkline_store::event_types;
use utoipa::ToSchema;

use crate::problem::Problem;

/// A type with its schema.
#[derive(Serialize, ToSchema)]
pub(crate) struct EventTypeAnswer {
    event_type: DescribedType,
}

/// A type as it was described.
#[derive(Serialize, ToSchema)]
pub(crate) struct DescribedType {
    #[schema(value_type = String, example = "order.created")]
    r#type: EventType,
    /// What it means.
    description: Option<String>,
    /// JSON Schema of its payloads, as it was given.
    #[schema(value_type = Option<serde_json::Value>)]
    schema: Option<Box<RawValue>>,
    /// Whether REST refuses payloads that do not fit the schema.
    enforced: bool,
    /// Events of it are kept so many days; null = as long as the tenant's others.
    retention_days: Option<i32>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl DescribedType {
    fn of(found: event_types::DescribedType) -> Result<Self, Problem> {
        let schema = found.schema.map(RawValue::from_string).transpose();
        Ok(Self {
            r#type: found.event_type,
            description: found.description,
            schema: schema.map_err(|_| Problem::internal("a stored schema is not JSON"))?,
            enforced: found.enforced,
            retention_days: found.retention_days,
            created_at: found.created_at,
            updated_at: found.updated_at,
        })
    }
}

/// A type in a path. One that is none is answered like one that was not described.
fn event_type(text: &str) -> Result<EventType, Problem> {
    text.parse().map_err(|_| Problem::no_event_type())
}
