//! Why a command did not work, as a number that scripts can use.

use std::io;

use trunkline_boot::SettingsError;
use trunkline_store::StoreError;
use trunkline_store::schema::SchemaError;

/// What `--help` says of exit codes. The README of this crate says the same.
pub(crate) const EXIT_CODES_HELP: &str = "\
Exit codes:
  0   it worked
  1   it did not work
  2   wrong usage or settings
  3   what was named does not exist
  4   the API refused the key (401) or the action (403)
  69  the API or the database is not available, or too busy: try again later";

/// A failure with an exit code of its own; whatever else goes wrong is 1. Its text is the whole message.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The command line or the settings ask for something that cannot be.
    #[error("{0}")]
    Usage(String),
    /// What was named does not exist.
    #[error("{0}")]
    NotFound(String),
    /// The API answered 401 or 403.
    #[error("{0}")]
    Refused(String),
    /// Nobody answers, or asks to come back later.
    #[error("{0}")]
    Unavailable(String),
}

/// The exit code that an error stands for.
pub(crate) fn exit_code(error: &anyhow::Error) -> u8 {
    error.chain().find_map(code_of).unwrap_or(1)
}

/// An error and its causes in one line. Many errors repeat their cause in their own text; it is said once.
pub(crate) fn message(error: &anyhow::Error) -> String {
    let mut message = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if message.is_empty() {
            message = cause;
        } else if !message.contains(&cause) {
            message = format!("{message}: {cause}");
        }
    }
    message
}

fn code_of(cause: &(dyn std::error::Error + 'static)) -> Option<u8> {
    if let Some(failure) = cause.downcast_ref::<Failure>() {
        return Some(match failure {
            Failure::Usage(_) => 2,
            Failure::NotFound(_) => 3,
            Failure::Refused(_) => 4,
            Failure::Unavailable(_) => 69,
        });
    }
    if cause.is::<SettingsError>() {
        return Some(2);
    }
    if let Some(code) = code_of_door(cause) {
        return Some(code);
    }
    let store = match cause.downcast_ref::<SchemaError>() {
        Some(SchemaError::Store(error)) => Some(error),
        _ => cause.downcast_ref::<StoreError>(),
    };
    matches!(store, Some(StoreError::Unavailable(_) | StoreError::Locked(_))).then_some(69)
}

/// A door that does not start says itself what that is.
fn code_of_door(cause: &(dyn std::error::Error + 'static)) -> Option<u8> {
    let api = cause.downcast_ref().map(trunkline_api::BuildError::exit_code);
    let worker = cause.downcast_ref().map(trunkline_worker::BuildError::exit_code);
    let receiver = cause.downcast_ref().map(trunkline_receiver::BuildError::exit_code);
    api.or(worker).or(receiver)
}

/// Whether the error is only that nobody reads our output any more.
pub(crate) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn each_kind_of_failure_has_its_exit_code_whatever_context_it_gets() {
        let table = [
            (anyhow::anyhow!("plain"), 1),
            (Failure::Usage(String::new()).into(), 2),
            (Failure::NotFound(String::new()).into(), 3),
            (Failure::Refused(String::new()).into(), 4),
            (Failure::Unavailable(String::new()).into(), 69),
        ];
        for (error, code) in table {
            let error = Err::<(), _>(error).context("while trying").unwrap_err();
            assert_eq!(exit_code(&error), code, "{error:#}");
        }
    }

    #[test]
    fn a_cause_that_was_told_is_not_told_again() {
        let error = anyhow::anyhow!("refused").context("cannot connect: refused").context("starting");
        assert_eq!(message(&error), "starting: cannot connect: refused");
    }

    #[test]
    fn wrong_settings_are_usage() {
        let environment = [("TRUNKLINE__API__BIND".to_owned(), "nowhere".to_owned())];
        let error = trunkline_boot::Settings::load(None, environment).unwrap_err();
        assert_eq!(exit_code(&error.into()), 2);
    }
}
