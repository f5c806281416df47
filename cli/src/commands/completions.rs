//! `trunkline completions`: teaches a shell the command line.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::arguments::Arguments;
use crate::output::Output;

#[derive(Debug, Args)]
#[command(after_help = "For this session of bash: source <(trunkline completions bash)")]
pub(crate) struct Options {
    /// Whose language
    shell: Shell,
}

pub(crate) fn run(options: &Options, output: &Output) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut Arguments::command(), "trunkline", &mut script);
    output.line(&String::from_utf8_lossy(&script))
}
