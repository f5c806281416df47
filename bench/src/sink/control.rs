//! What a measure can ask of the sink.

use std::path::Path;

use anyhow::{Context, bail};

use trunkline_signing::Secret;

use super::serve::Ledger;
use crate::ledger;

/// Does what is asked; the answer's body.
pub(super) fn answer(question: &str, body: &[u8], ledger: &mut Ledger) -> anyhow::Result<String> {
    let body = str::from_utf8(body)?;
    match question {
        "seen" => Ok(serde_json::to_string(&ledger.seen)?),
        "verify" => {
            ledger.verify_every = body.parse().context("a number")?;
            Ok(String::new())
        }
        "secret" => {
            let (endpoint, secret) = body.split_once(' ').context("an endpoint's number and its secret")?;
            ledger.secrets.insert(endpoint.parse()?, Secret::from_stored(secret)?);
            Ok(String::new())
        }
        "take" => {
            ledger::write(Path::new(body), &ledger.entries)?;
            ledger.entries.clear();
            ledger.seen.arrived = 0;
            Ok(String::new())
        }
        other => bail!("nothing is called {other}"),
    }
}
