//! JSON Schemas that payloads must fit, compiled. A tenant without an enforced one costs a look into a set.

mod size;

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use jsonschema::{PatternOptions, Validator};
use moka::future::Cache;
use trunkline_domain::{EventType, TenantId};
use trunkline_store::{Pool, StoreError, event_types, roles};

use crate::problem::{FieldProblem, Problem};

/// The longest schema, in bytes as it was given.
pub(crate) const SCHEMA_BYTES_MAX: usize = 64 * 1024;

/// How long an answer of the database is believed. With the time between two looks it makes the promised 5 s.
const BELIEVED_FOR: Duration = Duration::from_secs(2);

/// Between two looks at which tenants enforce anything.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What compiled schemas may take, in bytes of their source; compiled they are several times as large.
const CACHED_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Violations that one answer names: a payload can break a schema in a hundred thousand places.
const VIOLATIONS_MAX: usize = 20;

/// The longest description of one, in characters.
const DETAIL_CHARS_MAX: usize = 300;

/// The enforced schemas.
pub(crate) struct Schemas {
    enforcing: RwLock<HashSet<TenantId>>,
    compiled: Cache<(TenantId, EventType), Option<Arc<Schema>>>,
}

/// One schema, ready to judge payloads.
pub(crate) struct Schema {
    validator: Validator,
    source_bytes: usize,
}

impl Schemas {
    pub(crate) fn new() -> Self {
        let weigh = |(tenant, event_type): &(TenantId, EventType), schema: &Option<Arc<Schema>>| {
            let schema = schema.as_ref().map_or(0, |schema| schema.source_bytes);
            let bytes = 128 + tenant.as_str().len() + event_type.as_str().len() + schema;
            u32::try_from(bytes).unwrap_or(u32::MAX)
        };
        Self {
            enforcing: RwLock::default(),
            compiled: Cache::builder()
                .max_capacity(CACHED_BYTES_MAX)
                .weigher(weigh)
                .time_to_live(BELIEVED_FOR)
                .build(),
        }
    }

    /// Judges a payload: `Ok` if its type has no schema, none that is enforced, or one that it fits.
    ///
    /// # Errors
    /// 422 `schema_violation` naming at most twenty places; 503 when the database must be asked and is away.
    pub(crate) async fn check(
        &self,
        pool: &Pool,
        tenant_id: &TenantId,
        event_type: Option<&EventType>,
        payload: &Bytes,
    ) -> Result<(), Problem> {
        let Some(event_type) = event_type else { return Ok(()) };
        let violations = self.violations(pool, tenant_id, event_type, payload).await?;
        if violations.is_empty() {
            return Ok(());
        }
        Err(Problem::schema_violation(event_type, violations))
    }

    /// Where a payload does not fit; empty = it fits. For batches, which name the item too.
    ///
    /// # Errors
    /// 503 when the database must be asked and is away.
    pub(crate) async fn violations(
        &self,
        pool: &Pool,
        tenant_id: &TenantId,
        event_type: &EventType,
        payload: &Bytes,
    ) -> Result<Vec<FieldProblem>, Problem> {
        if !self.enforcing.read().unwrap_or_else(PoisonError::into_inner).contains(tenant_id) {
            return Ok(Vec::new());
        }
        let Some(schema) = self.find(pool, tenant_id, event_type).await? else { return Ok(Vec::new()) };
        let payload = payload.clone();
        // A large payload takes milliseconds, in which this thread answers others.
        let judged = tokio::task::spawn_blocking(move || schema.judge(&payload)).await;
        judged.map_err(|_| Problem::internal("a payload could not be judged by its schema"))
    }

    async fn find(
        &self,
        pool: &Pool,
        tenant_id: &TenantId,
        event_type: &EventType,
    ) -> Result<Option<Arc<Schema>>, Problem> {
        let ask = async {
            let mut connection = roles::for_tenant(pool, tenant_id).await?;
            let source = event_types::enforced_schema(&mut connection, tenant_id, event_type).await?;
            drop(connection);
            let Some(source) = source else { return Ok(None) };
            let compiled = compile(source).await?;
            let schema = compiled.map_err(|_| Problem::internal("a stored schema does not compile"))?;
            Ok::<_, Problem>(Some(Arc::new(schema)))
        };
        let key = (tenant_id.clone(), event_type.clone());
        let found = self.compiled.try_get_with(key, ask).await;
        found.map_err(Problem::unavailable)
    }

    /// A tenant changed what it says of a type: this process goes by it at once, others within 5 s.
    pub(crate) async fn changed(&self, tenant_id: &TenantId, event_type: &EventType) {
        // Perhaps it enforces something now. If it does not, the next look takes it out.
        self.enforcing.write().unwrap_or_else(PoisonError::into_inner).insert(tenant_id.clone());
        self.compiled.invalidate(&(tenant_id.clone(), event_type.clone())).await;
    }

    /// Looks who enforces anything.
    pub(crate) async fn look(&self, pool: &Pool) -> Result<(), StoreError> {
        let mut connection = roles::for_operator(pool).await?;
        let found = event_types::tenants_that_enforce(&mut connection).await?;
        *self.enforcing.write().unwrap_or_else(PoisonError::into_inner) = found.into_iter().collect();
        Ok(())
    }

    /// Looks again and again, for ever.
    pub(crate) async fn follow(&self, pool: &Pool) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if let Err(error) = self.look(pool).await {
                // What was found last goes on to hold.
                tracing::debug!(%error, "enforced schemas were not looked up");
            }
        }
    }
}

impl Schema {
    fn judge(&self, payload: &[u8]) -> Vec<FieldProblem> {
        let payload: serde_json::Value = match serde_json::from_slice(payload) {
            Ok(payload) => payload,
            // It is JSON; what fails here is a number beyond the range of doubles, such as 1e400.
            Err(error) => {
                let detail = format!("It cannot be judged by a schema: {error}.");
                return vec![FieldProblem { field: String::new(), detail }];
            }
        };
        let shown = |error: jsonschema::ValidationError<'_>| FieldProblem {
            field: error.instance_path().to_string(),
            // Without the value, which may be as large as a payload.
            detail: error.masked().to_string().chars().take(DETAIL_CHARS_MAX).collect(),
        };
        self.validator.iter_errors(&payload).take(VIOLATIONS_MAX).map(shown).collect()
    }
}

/// Compiles a schema, or says why it is none that is taken.
///
/// # Errors
/// 500 when the compiler panics.
pub(crate) async fn compile(source: String) -> Result<Result<Schema, String>, Problem> {
    let compiled = tokio::task::spawn_blocking(move || compile_here(&source)).await;
    compiled.map_err(|_| Problem::internal("a schema could not be compiled"))
}

fn compile_here(source: &str) -> Result<Schema, String> {
    if source.len() > SCHEMA_BYTES_MAX {
        return Err(format!("it has more than {SCHEMA_BYTES_MAX} bytes"));
    }
    let schema: serde_json::Value = serde_json::from_str(source).map_err(|error| error.to_string())?;
    if !schema.is_object() && !schema.is_boolean() {
        return Err("a JSON Schema is an object or a boolean".to_owned());
    }
    size::check(&schema).map_err(|refused| refused.to_string())?;
    // This engine for patterns takes time in proportion to the text, whatever the pattern.
    let options = jsonschema::options().with_pattern_options(PatternOptions::regex());
    let validator = options.build(&schema).map_err(|error| {
        let reason: String = error.to_string().chars().take(DETAIL_CHARS_MAX).collect();
        format!("it is no JSON Schema: {reason}")
    })?;
    Ok(Schema { validator, source_bytes: source.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(schema: &str, payload: &str) -> Vec<(String, String)> {
        let schema = compile_here(schema).unwrap_or_else(|refused| panic!("{refused}"));
        let violations = schema.judge(payload.as_bytes());
        violations.into_iter().map(|one| (one.field, one.detail)).collect()
    }

    #[test]
    fn violations_name_their_place_by_pointer_and_no_value() {
        let schema = r#"{"type":"object","required":["id"],"properties":{"items":{"type":"array","items":{"type":"integer"}}}}"#;
        assert_eq!(judge(schema, r#"{"id":1,"items":[1,2]}"#), []);
        let found = judge(schema, r#"{"items":[1,"canary"]}"#);
        let places: Vec<_> = found.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(places, ["", "/items/1"]);
        assert!(found.iter().all(|(_, detail)| !detail.contains("canary")), "{found:?}");
    }

    #[test]
    fn a_payload_that_doubles_cannot_hold_is_not_judged_and_does_not_fit() {
        assert_eq!(judge("{}", r#"{"n":1e400}"#).len(), 1);
        assert_eq!(judge("{}", r#"{"n":123456789012345678901234567890}"#), []);
    }

    #[test]
    fn answers_are_bounded() {
        let payload = format!("{{\"a\":[{}0]}}", "0,".repeat(5_000));
        let found = judge(r#"{"properties":{"a":{"items":{"type":"string"}}}}"#, &payload);
        assert_eq!(found.len(), VIOLATIONS_MAX);
    }

    #[test]
    fn what_is_no_schema_or_refers_elsewhere_is_refused() {
        let long = format!("{{\"description\":\"{}\"}}", "x".repeat(SCHEMA_BYTES_MAX));
        for bad in [
            "7",
            "[]",
            r#"{"type":"strange"}"#,
            r#"{"pattern":"("}"#,
            r#"{"$ref":"https://example.com/schema.json"}"#,
            r#"{"$ref":"file:///etc/passwd"}"#,
            r#"{"$ref":"other.json"}"#,
            "{\"$ref\":\"#/$defs/none\"}",
            &long,
        ] {
            assert!(compile_here(bad).is_err(), "{}", &bad[..bad.len().min(80)]);
        }
        assert!(compile_here("true").is_ok());
    }
}
