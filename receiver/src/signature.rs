//! Judges a signature, and names what it vouches for.

use std::time::Duration;

use actix_web::http::header::HeaderMap;
use sha2::{Digest, Sha256};
use trunkline_boot::clock::signing_now;
use trunkline_signing::{Secret, Verified, VerifyError, verify_any};

use crate::address::Address;
use crate::problem::Problem;
use crate::secrets::{Found, TenantSecrets};
use crate::state::State;

/// How far a signature's time may be from ours, on either side.
const TOLERANCE: Duration = Duration::from_secs(300);

/// The id of a webhook whose signature holds under a secret of the tenant that is valid now.
///
/// # Errors
/// 401 saying what is wrong with the signature; what the secrets' reading may fail with.
pub(crate) async fn vouched_id(
    state: &State,
    address: &Address,
    headers: &HeaderMap,
    body: &[u8],
    found: Found,
) -> Result<String, Problem> {
    let verified = match verify(headers, body, &found.secrets) {
        // The secret may be newer than our memory.
        Err(VerifyError::NoMatch) if !found.is_fresh => {
            let secrets = state.secrets.now(&address.tenant_id).await?;
            verify(headers, body, &secrets).map_err(|error| refuse(&error, &secrets))?
        }
        verified => verified.map_err(|error| refuse(&error, &found.secrets))?,
    };
    Ok(verified.webhook_id.unwrap_or_else(|| name_of(address, body)))
}

fn verify(headers: &HeaderMap, body: &[u8], secrets: &TenantSecrets) -> Result<Verified, VerifyError> {
    let header = |name: &str| headers.get(name)?.to_str().ok();
    let secrets: Vec<&Secret> = secrets.secrets.iter().collect();
    verify_any(header, body, &secrets, signing_now(), TOLERANCE)
}

/// A mismatch while a secret could not be opened may be our fault: the sender should come again.
fn refuse(error: &VerifyError, secrets: &TenantSecrets) -> Problem {
    if *error == VerifyError::NoMatch && secrets.some_unreadable {
        return Problem::internal("no signature matches, but a secret of the tenant cannot be opened");
    }
    Problem::unverified(error)
}

/// Names a webhook whose scheme signs no id. Its time is left out: a retry is signed anew.
fn name_of(address: &Address, body: &[u8]) -> String {
    let mut hash = Sha256::new();
    for part in [address.tenant_id.as_str(), &address.name] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.update(body);
    format!("sha256_{}", hex::encode(hash.finalize()))
}
