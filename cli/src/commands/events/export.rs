use std::io::{self, Read as _};

use crate::api_client::{Client, Method, with_query};
use crate::failure::Failure;

use super::list::Filter;

/// Writes what the api sends as it comes in: a part of a history is none of it.
pub(super) fn run(client: &Client, filter: &Filter) -> anyhow::Result<()> {
    let mut stream =
        client.open(Method::Get, &with_query("/v1/events/export", &filter.query()), &[], b"")?.body;
    let mut out = io::stdout().lock();
    let mut piece = vec![0; 64 * 1024];
    loop {
        let count = stream.read(&mut piece).map_err(|error| {
            Failure::Unavailable(format!("the export broke off and is incomplete: {error}"))
        })?;
        if count == 0 {
            return Ok(io::Write::flush(&mut out)?);
        }
        io::Write::write_all(&mut out, &piece[..count])?;
    }
}
