//! Values that are secrets: from the environment, the settings file, or a file of their own, and overwritten after use.

use super::keys;
use super::reader::{Reader, text_of};
use config::{Value, ValueKind};
use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;
use std::fs::File;
use std::io::Read as _;

/// The longest file, in bytes: a thousand keys. A larger one is not what was meant.
const FILE_BYTES_MAX: u64 = 65_536;

/// A secret as it was written.
enum Written {
    Text(Zeroizing<String>),
    List(Vec<Zeroizing<String>>),
    /// A table, or nothing.
    Neither,
}

impl Reader {
    /// A PostgreSQL URL, kept secret because it holds a password.
    pub(super) fn postgres_url(&mut self, key: &'static str) -> Option<SecretString> {
        let url = match self.take_secret(key)? {
            Written::Text(text) => Some(text),
            Written::List(_) | Written::Neither => None,
        };
        let is_url = |text: &str| text.starts_with("postgres://") || text.starts_with("postgresql://");
        match url.filter(|text| is_url(text)) {
            Some(text) => Some(SecretString::from(text.as_str())),
            None => {
                self.refuse_secret(key, "accepts postgres://user:password@host:port/database".to_owned());
                None
            }
        }
    }

    /// Several secrets: an array in the settings file, else separated by commas or line ends; empty text is an empty list.
    /// `parse` says what is wrong with an entry, without repeating it.
    pub(super) fn secret_list<T>(
        &mut self,
        key: &'static str,
        accepts: &str,
        parse: impl Fn(&str) -> Result<T, &'static str>,
    ) -> Vec<T> {
        let entries = match self.take_secret(key) {
            None => Vec::new(),
            Some(Written::Text(text)) => entries_of(&text),
            Some(Written::List(entries)) => entries,
            Some(Written::Neither) => {
                self.refuse_secret(key, accepts.to_owned());
                Vec::new()
            }
        };
        let mut list = Vec::with_capacity(entries.len());
        for (index, entry) in entries.iter().enumerate() {
            match parse(entry) {
                Ok(parsed) => list.push(parsed),
                Err(reason) => self.refuse_secret(key, format!("{accepts}; entry {} {reason}", index + 1)),
            }
        }
        list
    }

    /// Notes a problem with a secret, under the name of the setting that gave it.
    pub(super) fn refuse_secret(&mut self, key: &'static str, reason: String) {
        let file_key = keys::file_of(key).filter(|file_key| self.is_written(file_key));
        self.refuse(file_key.unwrap_or(key), reason);
    }

    /// The environment's text before the settings file's, or else the content of the file that `KEY_file` names.
    fn take_secret(&mut self, key: &'static str) -> Option<Written> {
        let in_file = self.take(key).map(written);
        let direct = self.take_from_environment(key).map(|text| Written::Text(trimmed(&text))).or(in_file);
        let file_key = keys::file_of(key).expect("every secret can be in a file of its own");
        let Some(path) = self.take(file_key) else {
            return direct;
        };
        // Empty beside a file: a compose file that passes on what is not set.
        let is_empty = |written: &Written| matches!(written, Written::Text(text) if text.is_empty());
        if direct.is_some_and(|written| !is_empty(&written)) {
            self.refuse(file_key, format!("is set beside {key}; keep one of the two"));
            return None;
        }
        // The path is not repeated: it may be the secret itself, in the wrong place.
        match text_of(path).ok_or("accepts the path of a file".to_owned()).and_then(|path| read(&path)) {
            Ok(text) => Some(Written::Text(trimmed(&text))),
            Err(reason) => {
                self.refuse(file_key, reason);
                None
            }
        }
    }
}

fn read(path: &str) -> Result<Zeroizing<String>, String> {
    let unreadable = |error: std::io::Error| format!("names a file that cannot be read: {error}");
    // Large enough from the start, so that no copy is left behind when it grows.
    let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX as usize + 1));
    let file = File::open(path).map_err(unreadable)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("names a file of more than {FILE_BYTES_MAX} bytes"));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| "names a file that is no text (UTF-8)")?;
    Ok(Zeroizing::new(text.to_owned()))
}

fn written(value: Value) -> Written {
    let text = |value: Value| text_of(value).map(Zeroizing::new);
    if let ValueKind::Array(items) = value.kind {
        return items.into_iter().map(text).collect::<Option<_>>().map_or(Written::Neither, Written::List);
    }
    text(value).map_or(Written::Neither, Written::Text)
}

fn trimmed(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.trim().to_owned())
}

fn entries_of(text: &str) -> Vec<Zeroizing<String>> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.flat_map(|line| line.split(',')).map(trimmed).collect()
}
