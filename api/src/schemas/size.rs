//! How much work a schema can make. A schema of a few hundred bytes can refer to itself without end, or double its work at
//! every level; both would let one tenant keep a thread busy for ever.

use std::collections::HashMap;

use serde_json::Value;

/// Parts of a schema once every `$ref` is replaced by what it refers to. Each costs some nanoseconds for each part of a
/// payload.
const PARTS_MAX: u64 = 5_000;

/// How many `$ref` may lead from one to the next: whoever follows them needs that much of a stack.
const REFERENCES_MAX: u32 = 32;

/// Keywords that refer without a place that could be looked up here.
const DYNAMIC: [&str; 3] = ["$dynamicRef", "$recursiveRef", "$dynamicAnchor"];

/// Why a schema is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("$ref accepts places within the schema only, such as #/$defs/address")]
    Remote,
    #[error("{0} is not supported; use $ref")]
    Dynamic(&'static str),
    #[error("$id is taken at the top only")]
    NestedId,
    #[error("$ref leads to no part of the schema")]
    Nowhere,
    #[error("$ref leads in a circle")]
    Circle,
    #[error("more than {REFERENCES_MAX} $ref lead from one to the next")]
    TooDeep,
    #[error("with every $ref replaced it would have more than {PARTS_MAX} parts")]
    TooLarge,
}

/// Lets a schema pass whose references stay within it, end, and come to a bounded size.
pub(super) fn check(schema: &Value) -> Result<(), Refused> {
    let mut measure = Measure { root: schema, known: HashMap::new(), depth: 0 };
    let extent = measure.of(schema, true)?;
    if extent.references > REFERENCES_MAX {
        return Err(Refused::TooDeep);
    }
    if extent.parts > PARTS_MAX {
        return Err(Refused::TooLarge);
    }
    Ok(())
}

/// What a part of a schema comes to.
#[derive(Debug, Clone, Copy)]
struct Extent {
    parts: u64,
    /// `$ref` that lead from one to the next below it, at most.
    references: u32,
}

struct Measure<'a> {
    root: &'a Value,
    /// By target; `None` = it is being measured, so that whoever asks stands in a circle.
    known: HashMap<&'a str, Option<Extent>>,
    /// `$ref` that are being followed.
    depth: u32,
}

impl<'a> Measure<'a> {
    fn of(&mut self, value: &'a Value, is_root: bool) -> Result<Extent, Refused> {
        let mut whole = Extent { parts: 1, references: 0 };
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    refuse_keyword(name, member, is_root)?;
                    let part = match member.as_str() {
                        Some(target) if name == "$ref" => self.target(target)?,
                        _ => self.of(member, false)?,
                    };
                    whole.add(part);
                }
            }
            Value::Array(items) => {
                for item in items {
                    whole.add(self.of(item, false)?);
                }
            }
            _ => {}
        }
        Ok(whole)
    }

    fn target(&mut self, target: &'a str) -> Result<Extent, Refused> {
        let place = target.strip_prefix('#').ok_or(Refused::Remote)?;
        match self.known.get(target) {
            Some(Some(extent)) => return Ok(extent.behind_reference()),
            Some(None) => return Err(Refused::Circle),
            None if self.depth == REFERENCES_MAX => return Err(Refused::TooDeep),
            None => {}
        }
        self.known.insert(target, None);
        // Percent-encoding, and anchors, are left out: one spelling of a place is enough.
        let found = self.root.pointer(place).ok_or(Refused::Nowhere)?;
        self.depth += 1;
        let extent = self.of(found, false)?;
        self.depth -= 1;
        self.known.insert(target, Some(extent));
        Ok(extent.behind_reference())
    }
}

impl Extent {
    fn add(&mut self, part: Self) {
        self.parts = self.parts.saturating_add(part.parts);
        self.references = self.references.max(part.references);
    }

    fn behind_reference(self) -> Self {
        Self { references: self.references.saturating_add(1), ..self }
    }
}

/// Properties may have the names of keywords; what stands there is a schema then, and no text.
fn refuse_keyword(name: &str, member: &Value, is_root: bool) -> Result<(), Refused> {
    if !member.is_string() {
        return Ok(());
    }
    if let Some(dynamic) = DYNAMIC.into_iter().find(|dynamic| *dynamic == name) {
        return Err(Refused::Dynamic(dynamic));
    }
    if name == "$id" && !is_root {
        return Err(Refused::NestedId);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn references_that_end_are_followed() {
        let schema = json!({
            "$id": "https://example.com/order.json",
            "$defs": {"money": {"type": "object", "properties": {"$ref": {"type": "string"}}}},
            "properties": {"total": {"$ref": "#/$defs/money"}, "tax": {"$ref": "#/$defs/money"}}
        });
        assert_eq!(check(&schema), Ok(()));
    }

    #[test]
    fn references_without_end_or_out_of_the_schema_are_refused() {
        for (schema, refused) in [
            (json!({"$ref": "#"}), Refused::Circle),
            (json!({"properties": {"child": {"$ref": "#"}}}), Refused::Circle),
            (
                json!({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"not": {"$ref": "#/$defs/a"}}}}),
                Refused::Circle,
            ),
            (json!({"$ref": "https://example.com/"}), Refused::Remote),
            (json!({"items": {"$ref": "other.json#/a"}}), Refused::Remote),
            (json!({"$ref": "#/$defs/none"}), Refused::Nowhere),
            (json!({"$ref": "#anchor", "$anchor": "anchor"}), Refused::Nowhere),
            (json!({"$dynamicRef": "#a"}), Refused::Dynamic("$dynamicRef")),
            (json!({"items": {"$id": "https://example.com/"}}), Refused::NestedId),
        ] {
            assert_eq!(check(&schema), Err(refused), "{schema}");
        }
    }

    #[test]
    fn a_schema_that_doubles_at_every_level_or_goes_on_and_on_is_refused() {
        let chain = |levels: usize, times: usize, forwards: bool| {
            let mut definitions = serde_json::Map::new();
            for level in 0..levels {
                let next = if forwards { level + 1 } else { level.wrapping_sub(1) };
                let is_last = next >= levels;
                let name = |level: usize| format!("d{level:04}");
                let parts = vec![json!({"$ref": format!("#/$defs/{}", name(next))}); times];
                let definition = if is_last { json!({}) } else { json!({"allOf": parts}) };
                definitions.insert(name(level), definition);
            }
            json!({"$defs": definitions})
        };
        assert_eq!(check(&chain(20, 1, true)), Ok(()));
        assert_eq!(check(&chain(20, 2, true)), Err(Refused::TooLarge));
        assert_eq!(check(&chain(20, 2, false)), Err(Refused::TooLarge));
        assert_eq!(check(&chain(1_000, 1, true)), Err(Refused::TooDeep));
        assert_eq!(check(&chain(1_000, 1, false)), Err(Refused::TooDeep));
    }
}
