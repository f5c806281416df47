use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::value::RawValue;
use trunkline_domain::EventType;
use trunkline_store::StoreError;
use trunkline_store::audit::Action;
use trunkline_store::event_types::{self, Described, Description};
use utoipa::ToSchema;

use super::{DescribedType, EventTypeAnswer};
use crate::actions::tenants::retention_days;
use crate::audit::{Trail, What};
use crate::auth::Writer;
use crate::body;
use crate::problem::{Problem, ProblemBody};
use crate::schemas::{self, SCHEMA_BYTES_MAX};
use crate::state::State;

/// Types that one tenant describes.
const TYPES_MAX: i64 = 1_000;

/// A schema and what stands around it.
const BODY_BYTES_MAX: usize = SCHEMA_BYTES_MAX + 8 * 1024;

const DESCRIPTION_CHARS_MAX: usize = 500;

/// What a type means; what is absent is forgotten.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TypeDescription {
    /// At most 500 characters.
    #[schema(example = "An order was placed.")]
    description: Option<String>,
    /// JSON Schema of its payloads, at most 64 KiB. `$ref` stays within it, and in no circle.
    #[schema(value_type = Option<serde_json::Value>)]
    schema: Option<Box<RawValue>>,
    /// Whether REST refuses payloads that do not fit the schema; only with one.
    #[serde(default)]
    enforced: bool,
    /// Its events are shown for so many days, 1 to 3650, and erased after; null = as long as the tenant's others.
    #[schema(example = 7)]
    retention_days: Option<u32>,
}

/// Describe an event type
///
/// Whatever was said of it before is replaced. An enforced schema holds for everything published over REST from at most five
/// seconds later on; publishing from SQL does not look at it.
#[utoipa::path(
    operation_id = "describeEventType",
    put, path = "/v1/event-types/{type}", tag = "event types", security(("key" = [])),
    params(("type" = String, Path, description = "As events carry it, percent-encoded")),
    request_body = TypeDescription,
    responses(
        (status = 200, description = "Described anew.", body = EventTypeAnswer),
        (status = 201, description = "Described.", body = EventTypeAnswer),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "The key lacks the scope write.", body = ProblemBody),
        (status = 409, description = "The tenant has described 1,000 types.", body = ProblemBody),
        (status = 413, description = "The body is too large.", body = ProblemBody),
        (status = 415, description = "The body is not JSON.", body = ProblemBody),
        (status = 422, description = "A field has an invalid value; the schema is no JSON Schema.", body = ProblemBody),
        (status = 503, description = "The database is away.", body = ProblemBody),
    )
)]
pub(crate) async fn describe(
    state: web::Data<State>,
    request: HttpRequest,
    path: web::Path<String>,
    Writer(owner): Writer,
    trail: Trail,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let event_type: EventType =
        path.parse().map_err(|error| Problem::bad_field("type", &format!("{error}.")))?;
    let body = body::read(&request, payload, BODY_BYTES_MAX).await?;
    let wanted: TypeDescription = body::object(&body.bytes)?;
    check(&wanted).await?;
    let retention_days = wanted.retention_days.map(retention_days).transpose()?;
    let new = Description {
        event_type: &event_type,
        description: wanted.description.as_deref(),
        schema: wanted.schema.as_deref().map(RawValue::get),
        enforced: wanted.enforced,
        retention_days,
    };
    let mut connection = state.for_tenant(&owner.tenant_id).await?;
    let now = state.clock.now();
    let described = event_types::describe(&mut connection, &owner.tenant_id, &new, TYPES_MAX, now).await?;
    let status = match described {
        Described::Created => StatusCode::CREATED,
        Described::Replaced => StatusCode::OK,
        Described::Full => return Err(Problem::too_many_types(TYPES_MAX)),
    };
    let what = What { tenant_id: &owner.tenant_id, target: Some(event_type.as_str().to_owned()) };
    trail.record(&mut connection, Action::DescribeEventType, what, now).await?;
    let found = event_types::find(&mut connection, &owner.tenant_id, &event_type).await?;
    let found = found.ok_or_else(Problem::no_event_type)?;
    connection.commit().await.map_err(StoreError::from)?;
    state.schemas.changed(&owner.tenant_id, &event_type).await;
    Ok(HttpResponse::build(status).json(EventTypeAnswer { event_type: DescribedType::of(found)? }))
}

async fn check(wanted: &TypeDescription) -> Result<(), Problem> {
    if !wanted.description.as_deref().is_none_or(is_description) {
        let accepts = "description accepts at most 500 characters, without control characters.";
        return Err(Problem::bad_field("description", accepts));
    }
    let Some(schema) = &wanted.schema else {
        if wanted.enforced {
            return Err(Problem::bad_field("enforced", "enforced accepts true only together with a schema."));
        }
        return Ok(());
    };
    let compiled = schemas::compile(schema.get().to_owned()).await?;
    compiled.map(drop).map_err(|refused| Problem::bad_field("schema", &format!("schema: {refused}.")))
}

/// Lines; among control characters is the one that PostgreSQL cannot store.
fn is_description(text: &str) -> bool {
    let is_break = |char| matches!(char, '\n' | '\r' | '\t');
    text.chars().count() <= DESCRIPTION_CHARS_MAX
        && !text.chars().any(|char| char.is_control() && !is_break(char))
}
