//! Reads one setting after the other, and remembers what was wrong instead of stopping at the first.

use super::{SettingProblem, SettingsError, keys};
use config::{Value, ValueKind};
use secrecy::zeroize::Zeroizing;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

/// Where values came from, to name a setting as its author wrote it.
#[derive(Default)]
pub(super) struct Sources {
    /// The file's name as given.
    pub(super) file: Option<String>,
    /// The variable that set a dotted key.
    pub(super) variables: HashMap<String, String>,
    /// Known variables and their values, but for secrets.
    pub(super) environment: HashMap<String, String>,
    /// Secrets of the environment, by dotted key.
    pub(super) secrets: HashMap<&'static str, Zeroizing<String>>,
}

/// Takes values out by key; what is left at the end is unknown.
pub(super) struct Reader {
    values: BTreeMap<String, Value>,
    sources: Sources,
    problems: Vec<SettingProblem>,
    written: Vec<&'static str>,
    #[cfg(test)]
    pub(super) asked: Vec<&'static str>,
}

impl Reader {
    pub(super) fn new(values: BTreeMap<String, Value>, sources: Sources) -> Self {
        Self {
            values,
            sources,
            problems: Vec::new(),
            written: Vec::new(),
            #[cfg(test)]
            asked: Vec::new(),
        }
    }

    pub(super) fn finish<T>(mut self, settings: T) -> Result<T, SettingsError> {
        for key in std::mem::take(&mut self.values).into_keys() {
            self.refuse(&key, format!("is not a setting; {}", keys::near(&key)));
        }
        if self.problems.is_empty() { Ok(settings) } else { Err(SettingsError::new(self.problems)) }
    }

    /// Notes a problem with the setting `key`, named as it was written.
    pub(super) fn refuse(&mut self, key: &str, reason: String) {
        let key = match (self.sources.variables.get(key), &self.sources.file) {
            (Some(variable), _) => variable.clone(),
            (None, Some(file)) => format!("{key} (in {file})"),
            (None, None) => key.to_owned(),
        };
        self.refuse_as(key, reason);
    }

    /// Notes a problem under exactly this name.
    pub(super) fn refuse_as(&mut self, key: String, reason: String) {
        self.problems.push(SettingProblem { key, reason });
    }

    /// Whether some source set `key`, which was read already.
    pub(super) fn is_written(&self, key: &str) -> bool {
        self.written.contains(&key)
    }

    pub(super) fn duration(
        &mut self,
        key: &'static str,
        default: Duration,
        range: RangeInclusive<Duration>,
    ) -> Duration {
        let accepts = format!(
            "accepts a duration from {} to {}, such as 500ms, 15s or 5m",
            humantime::format_duration(*range.start()),
            humantime::format_duration(*range.end())
        );
        self.scalar(key, default, &accepts, |text| duration_in(text, &range))
    }

    pub(super) fn number<T>(
        &mut self,
        key: &'static str,
        default: T,
        range: RangeInclusive<T>,
        what: &str,
    ) -> T
    where
        T: FromStr + PartialOrd + Display,
    {
        let accepts = format!("accepts {what} from {} to {}", range.start(), range.end());
        self.scalar(key, default, &accepts, |text| text.parse().ok().filter(|number| range.contains(number)))
    }

    pub(super) fn address(&mut self, key: &'static str, default: SocketAddr) -> SocketAddr {
        self.scalar(key, default, "accepts an address and port such as 0.0.0.0:8080 or [::]:8080", |text| {
            text.parse().ok()
        })
    }

    pub(super) fn choice<T: Clone>(&mut self, key: &'static str, default: T, choices: &[(&str, T)]) -> T {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        self.scalar(key, default, &format!("accepts one of: {}", names.join(", ")), |text| {
            choices.iter().find(|(name, _)| *name == text).map(|(_, choice)| choice.clone())
        })
    }

    /// A value of one piece. `parse` answers `None` for what `accepts` does not describe.
    pub(super) fn scalar<T>(
        &mut self,
        key: &'static str,
        default: T,
        accepts: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> T {
        let Some(value) = self.take(key) else {
            return default;
        };
        match text_of(value).as_deref().and_then(parse) {
            Some(parsed) => parsed,
            None => {
                self.refuse(key, accepts.to_owned());
                default
            }
        }
    }

    /// Several values: an array in a file, comma-separated in the environment; empty text is an empty
    /// list. `parse` says what is wrong with an entry, without repeating it.
    pub(super) fn list<T>(
        &mut self,
        key: &'static str,
        default: Vec<T>,
        accepts: &str,
        parse: impl Fn(&str) -> Result<T, &'static str>,
    ) -> Vec<T> {
        let Some(value) = self.take(key) else {
            return default;
        };
        let Some(entries) = entries_of(value) else {
            self.refuse(key, accepts.to_owned());
            return default;
        };
        let mut list = Vec::with_capacity(entries.len());
        for (index, entry) in entries.iter().enumerate() {
            match parse(entry) {
                Ok(parsed) => list.push(parsed),
                Err(reason) => self.refuse(key, format!("{accepts}; entry {} {reason}", index + 1)),
            }
        }
        list
    }

    /// A secret's text in the environment.
    pub(super) fn take_from_environment(&mut self, key: &'static str) -> Option<Zeroizing<String>> {
        self.sources.secrets.remove(key)
    }

    pub(super) fn take(&mut self, key: &'static str) -> Option<Value> {
        debug_assert!(keys::KEYS.contains(&key), "{key} is read but not listed in KEYS");
        #[cfg(test)]
        self.asked.push(key);
        let value = self.values.remove(key)?;
        self.written.push(key);
        Some(value)
    }
}

/// `15s` as a duration, if it lies in `range`.
pub(super) fn duration_in(text: &str, range: &RangeInclusive<Duration>) -> Option<Duration> {
    humantime::parse_duration(text).ok().filter(|duration| range.contains(duration))
}

pub(super) fn text_of(value: Value) -> Option<String> {
    match value.kind {
        ValueKind::Array(_) | ValueKind::Table(_) | ValueKind::Nil => None,
        _ => value.into_string().ok().map(|text| text.trim().to_owned()),
    }
}

fn entries_of(value: Value) -> Option<Vec<String>> {
    if let ValueKind::Array(items) = value.kind {
        return items.into_iter().map(text_of).collect();
    }
    let text = text_of(value)?;
    if text.is_empty() {
        return Some(Vec::new());
    }
    Some(text.split(',').map(|entry| entry.trim().to_owned()).collect())
}
