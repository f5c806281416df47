//! What a door's process ends with, so that whoever starts it knows whether to try again: as of `trunkline`'s commands.

/// What `--help` of a door says of them.
pub const HELP: &str = "\
Exit codes:
  0   it was asked to stop
  1   it did not work
  2   wrong usage or settings
  69  the database is not available: try again later";

/// What a person must change: settings, or the command line, for which clap has the same number.
pub const SETTINGS: u8 = 2;

/// The database is not available (`EX_UNAVAILABLE` of sysexits.h).
pub const UNAVAILABLE: u8 = 69;

/// All else.
pub const FAILED: u8 = 1;
