//! The database of a house: a private server, or one that is there.

use anyhow::Context as _;
use secrecy::SecretString;
use trunkline_boot::Settings;
use trunkline_boot::private_postgres::{Kind, Options as PostgresOptions, PrivatePostgres};

use crate::commands::dev::Options;
use crate::output::Output;

/// Each door has a pool of its own; beside them there is room for psql.
const CONNECTIONS_MAX: &str = "200";

/// Where the house keeps its data.
pub(super) struct Database {
    url: SecretString,
    /// `None`: somebody else's server, which stays.
    private: Option<PrivatePostgres>,
}

impl Database {
    /// Takes the server that the options or the environment name; without one starts a private one.
    ///
    /// # Errors
    /// There is no server that could be started; the message says what was tried and the ways out.
    pub(super) async fn open(options: &Options, settings: &Settings, output: Output) -> anyhow::Result<Self> {
        let named = options.database_url.clone().map(SecretString::from).or(settings.database.url.clone());
        match named {
            Some(_) if options.ephemeral => {
                output.progress("PostgreSQL: --ephemeral starts a private one; DATABASE_URL is left alone");
            }
            Some(url) => {
                output.progress("PostgreSQL: using the one that was named");
                return Ok(Self { url, private: None });
            }
            None => output.progress("PostgreSQL: starting a private one"),
        }
        let (kind, data_dir) = if options.ephemeral {
            (Kind::Ephemeral, None)
        } else {
            (Kind::Persistent, Some(options.data_dir.clone()))
        };
        let private = PrivatePostgres::start(PostgresOptions {
            data_dir,
            kind,
            settings: vec![("max_connections".to_owned(), CONNECTIONS_MAX.to_owned())],
            ..PostgresOptions::default()
        })
        .await
        .context("no private PostgreSQL")?;
        output.progress(&format!(
            "PostgreSQL: {} runs, data in {}",
            private.version(),
            private.folder().display()
        ));
        Ok(Self { url: SecretString::from(private.url()), private: Some(private) })
    }

    /// Whether nobody else has it.
    pub(super) fn is_private(&self) -> bool {
        self.private.is_some()
    }

    /// How to connect, password included.
    pub(super) fn url(&self) -> SecretString {
        self.url.clone()
    }

    /// Stops the server, if it is ours, and waits for its end.
    pub(super) async fn close(self) {
        if let Some(private) = self.private {
            // A panic there would have been logged; the server ends with this process at the latest.
            let _stopped = tokio::task::spawn_blocking(move || private.stop()).await;
        }
    }
}
