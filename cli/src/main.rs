#![doc = include_str!("../README.md")]

mod api_client;
mod api_options;
mod arguments;
mod commands;
mod dev;
mod doors;
mod failure;
mod input;
mod json_text;
mod operator;
mod output;
mod private_files;
mod provision;
mod sealing_keys;

use std::process::ExitCode;

use clap::Parser as _;
use clap::error::{ContextKind, ContextValue};

use arguments::Arguments;
use output::Output;

/// A URL with credentials in it is refused, and not repeated.
fn hide_credentials(mut error: clap::Error) -> clap::Error {
    if let Some(ContextValue::String(value)) = error.get(ContextKind::InvalidValue)
        && value.contains('@')
    {
        error.insert(ContextKind::InvalidValue, ContextValue::String("***".to_owned()));
    }
    error
}

fn main() -> ExitCode {
    let arguments = Arguments::try_parse().unwrap_or_else(|error| hide_credentials(error).exit());
    let output = Output::new(arguments.json);
    match arguments.command.run(&output) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader has seen enough: `trunkline events list | head`.
        Err(error) if failure::is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let code = failure::exit_code(&error);
            output.failure(&error, code);
            ExitCode::from(code)
        }
    }
}
