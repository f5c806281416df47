//! Gathers settings from their sources and gives them to the sections to read.

use super::reader::{Reader, Sources};
use super::{Settings, SettingsError, keys, sections};
use config::{Config, ConfigError, Environment, File, FileFormat, Value, ValueKind};
use secrecy::zeroize::Zeroizing;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

impl Settings {
    /// Reads `file` (TOML), if there is one, and lays the environment over it. Pure but for the file.
    ///
    /// `DATABASE_URL` is taken as `database.url` unless `TRUNKLINE__DATABASE__URL` is there; empty, it
    /// counts as absent, as compose files tend to leave it. Beside a `database.url_file` of the environment it is ignored.
    ///
    /// # Errors
    /// The file cannot be read or is not TOML; a setting is unknown or has a value that is not accepted.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, SettingsError> {
        let mut sources = Sources { file: file.map(|path| path.display().to_string()), ..Sources::default() };
        let mut unknown = Vec::new();
        let mut database_url = None;
        for (name, value) in environment {
            if let Some(key) = keys::of_variable(&name) {
                sources.variables.insert(key.to_owned(), name.clone());
                if keys::file_of(key).is_some() {
                    sources.secrets.insert(key, Zeroizing::new(value));
                } else {
                    sources.environment.insert(name, value);
                }
            } else if name.starts_with(keys::PREFIX) {
                unknown.push(name);
            } else if name == "DATABASE_URL" && !value.is_empty() {
                database_url = Some(Zeroizing::new(value));
            }
        }
        let is_named = |key: &str| sources.variables.contains_key(key);
        if let Some(url) =
            database_url.filter(|_| !is_named("database.url") && !is_named("database.url_file"))
        {
            sources.variables.insert("database.url".to_owned(), "DATABASE_URL".to_owned());
            sources.secrets.insert("database.url", url);
        }
        let values = gather(file, &sources.environment)?;
        let mut reader = Reader::new(values, sources);
        let settings = sections::read(&mut reader);
        unknown.sort();
        for name in unknown {
            let key = name[keys::PREFIX.len()..].to_lowercase().replace("__", ".");
            reader.refuse_as(name, format!("is not a setting; {}", keys::near(&key)));
        }
        reader.finish(settings)
    }

    /// [`Settings::load`] with the environment of this process.
    ///
    /// # Errors
    /// As [`Settings::load`].
    pub fn from_process(file: Option<&Path>) -> Result<Self, SettingsError> {
        // Not `vars`, which panics on names and values of others that are no UTF-8.
        let environment = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            let value = value.into_string().unwrap_or_else(|value| value.to_string_lossy().into_owned());
            Some((name, value))
        });
        Self::load(file, environment)
    }
}

/// The leaves of all sources by dotted key, the environment over the file.
fn gather(
    file: Option<&Path>,
    environment: &HashMap<String, String>,
) -> Result<BTreeMap<String, Value>, SettingsError> {
    let mut builder = Config::builder();
    if let Some(path) = file {
        let text = std::fs::read_to_string(path).map(Zeroizing::new).map_err(|error| {
            SettingsError::one(path.display().to_string(), format!("cannot be read: {error}"))
        })?;
        builder = builder.add_source(File::from_str(&text, FileFormat::Toml));
    }
    let variables = Environment::with_prefix("TRUNKLINE").prefix_separator("__").separator("__");
    let environment = environment.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    let config = builder
        .add_source(variables.source(Some(environment)))
        .build()
        .map_err(|error| refused(file, &error))?;
    let mut leaves = BTreeMap::new();
    flatten("", config.cache, &mut leaves);
    Ok(leaves)
}

fn flatten(path: &str, value: Value, leaves: &mut BTreeMap<String, Value>) {
    match value.kind {
        ValueKind::Table(table) => {
            for (name, inner) in table {
                let path = if path.is_empty() { name } else { format!("{path}.{name}") };
                flatten(&path, inner, leaves);
            }
        }
        _ => {
            leaves.insert(path.to_owned(), value);
        }
    }
}

/// A TOML error quotes the line it is about, which may hold a secret: only its first line, the place, is kept.
fn refused(file: Option<&Path>, error: &ConfigError) -> SettingsError {
    let name = file.map_or_else(|| "the environment".to_owned(), |path| path.display().to_string());
    let place = match error {
        ConfigError::FileParse { cause, .. } => {
            let text = cause.to_string();
            text.lines().next().filter(|line| line.starts_with("TOML parse error at")).map(str::to_owned)
        }
        _ => None,
    };
    SettingsError::one(
        name,
        format!("is not valid TOML: {}", place.as_deref().unwrap_or("it cannot be parsed")),
    )
}
