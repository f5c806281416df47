//! Whether a payload has a member with a value: `order.id:42`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// What a query parameter accepts that names one.
pub(super) const ACCEPTS: &str =
    "a dotted path, a colon and a value, such as order.id:42; at most 500 bytes and 16 steps";

const TEXT_BYTES_MAX: usize = 500;

/// No payload nests deeper than 64 levels; nobody writes a path of that length.
const STEPS_MAX: usize = 16;

/// A place in a payload, and the text of the value that must stand there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    path: Vec<String>,
    value: String,
}

/// Not a dotted path, a colon and a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("payload accepts {ACCEPTS}")]
pub(crate) struct InvalidMember;

impl FromStr for Member {
    type Err = InvalidMember;

    fn from_str(text: &str) -> Result<Self, InvalidMember> {
        let (path, value) = text.split_once(':').ok_or(InvalidMember)?;
        let path: Vec<String> = path.split('.').map(str::to_owned).collect();
        if text.len() > TEXT_BYTES_MAX || path.len() > STEPS_MAX || path.iter().any(String::is_empty) {
            return Err(InvalidMember);
        }
        Ok(Self { path, value: value.to_owned() })
    }
}

impl Member {
    /// A string matches by its characters, a number, `true`, `false` or `null` as it is written (`1.0` is not `1`); an object
    /// or an array never does.
    pub(crate) fn is_in(&self, payload: &[u8]) -> bool {
        let Ok(mut at) = serde_json::from_slice::<&RawValue>(payload) else { return false };
        for step in &self.path {
            let Some(next) = part(at, step) else { return false };
            at = next;
        }
        match at.get().as_bytes().first() {
            Some(b'{' | b'[') | None => false,
            Some(b'"') => serde_json::from_str::<Cow<'_, str>>(at.get()).is_ok_and(|text| text == self.value),
            Some(_) => at.get() == self.value,
        }
    }
}

/// The member of an object by its name, or the item of an array by its number. Nothing else is read into memory, and no
/// number is: payloads hold some that no type does.
fn part<'a>(value: &'a RawValue, step: &str) -> Option<&'a RawValue> {
    let mut reader = serde_json::Deserializer::from_str(value.get());
    match value.get().as_bytes().first() {
        Some(b'{') => Named(step).deserialize(&mut reader).ok().flatten(),
        Some(b'[') => Numbered(step.parse().ok()?).deserialize(&mut reader).ok().flatten(),
        _ => None,
    }
}

struct Named<'s>(&'s str);

impl<'de> DeserializeSeed<'de> for Named<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Named<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(Key(name)) = members.next_key()? {
            if name == self.0 {
                found = Some(members.next_value()?);
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// A name, borrowed where nothing in it is escaped.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

struct Numbered(usize);

impl<'de> DeserializeSeed<'de> for Numbered {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Numbered {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        let mut at = 0_usize;
        loop {
            if at == self.0 {
                found = items.next_element()?;
                if found.is_none() {
                    return Ok(None);
                }
            } else if items.next_element::<IgnoredAny>()?.is_none() {
                return Ok(found);
            }
            at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_in(member: &str, payload: &str) -> bool {
        member.parse::<Member>().unwrap().is_in(payload.as_bytes())
    }

    #[test]
    fn a_member_is_found_by_its_path_and_compared_as_text() {
        let payload = r#" { "order" : {"id":42, "n":1e400, "note":"caf\u00e9: \"x\"", "lines":[{"sku":"a"},{"sku":"b"}]},
            "paid":true, "by":null, "a\u002eb":1 } "#;
        for yes in [
            "order.id:42",
            "order.n:1e400",
            "order.note:café: \"x\"",
            "order.lines.1.sku:b",
            "paid:true",
            "by:null",
        ] {
            assert!(is_in(yes, payload), "{yes}");
        }
        for no in [
            "order.id:42.0",
            "order.id:4",
            "order.id:",
            "id:42",
            "order:42",
            "order.lines:[]",
            "order.lines.2.sku:b",
            "order.lines.x.sku:b",
            "order.id.x:42",
            "paid:\"true\"",
            "a.b:1",
        ] {
            assert!(!is_in(no, payload), "{no}");
        }
    }

    #[test]
    fn what_is_no_path_and_value_is_refused() {
        let (long, deep) = ("a:".repeat(300), format!("{}:1", ["a"; 17].join(".")));
        for bad in ["", "order.id", ":42", "order..id:42", ".a:1", "a.:1", &long, &deep] {
            assert_eq!(bad.parse::<Member>(), Err(InvalidMember), "{bad}");
        }
    }
}
