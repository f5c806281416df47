//! Judges a signature, and names what it vouches for.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::HeaderMap;
use sha2::{Digest, Sha256};
use tokio::sync::SemaphorePermit;
use trunkline_boot::clock::signing_now;
use trunkline_signing::{Secret, Verified, VerifyError, verify_any};

use crate::address::Address;
use crate::problem::Problem;
use crate::secrets::{Found, TenantSecrets};
use crate::state::State;

/// How far a signature's time may be from ours, on either side.
const TOLERANCE: Duration = Duration::from_secs(300);

/// Bytes that are hashed at a time: one body of the largest size, some milliseconds.
const SLICE_BYTES: usize = 1024 * 1024;

/// What takes long: so many bytes times secrets.
const LONG_BYTES: usize = 4 * SLICE_BYTES;

/// How many of these are under way at one time.
pub(crate) const LONG_MAX: usize = 8;

/// How long one waits for its turn.
const PATIENCE: Duration = Duration::from_secs(1);

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
    let _turn = turn(state, body, &found.secrets).await?;
    let verified = match verify(headers, body, &found.secrets).await {
        // The secret may be newer than our memory.
        Err(VerifyError::NoMatch) if !found.is_fresh => {
            let secrets = state.secrets.now(&address.tenant_id, &found.secrets).await?;
            if Arc::ptr_eq(&secrets, &found.secrets) {
                return Err(refuse(&VerifyError::NoMatch, &secrets));
            }
            verify(headers, body, &secrets).await.map_err(|error| refuse(&error, &secrets))?
        }
        verified => verified.map_err(|error| refuse(&error, &found.secrets))?,
    };
    Ok(verified.webhook_id.unwrap_or_else(|| name_of(address, body)))
}

/// A turn for what takes long, so that no more do than others can bear.
async fn turn<'a>(
    state: &'a State,
    body: &[u8],
    secrets: &TenantSecrets,
) -> Result<Option<SemaphorePermit<'a>>, Problem> {
    if body.len() * secrets.secrets.len() <= LONG_BYTES {
        return Ok(None);
    }
    let turn = tokio::time::timeout(PATIENCE, state.long_verifications.acquire()).await;
    turn.ok().and_then(Result::ok).map(Some).ok_or_else(Problem::overloaded)
}

/// Hashes the body under one secret after the other until one matches. Anyone can have this done, for as many secrets as the tenant
/// has: other requests of the thread have their turns in between.
async fn verify(headers: &HeaderMap, body: &[u8], secrets: &TenantSecrets) -> Result<Verified, VerifyError> {
    let header = |name: &str| headers.get(name)?.to_str().ok();
    let (secrets, now): (Vec<&Secret>, i64) = (secrets.secrets.iter().collect(), signing_now());
    let mut slices = secrets.chunks((SLICE_BYTES / body.len().max(64)).max(1));
    let mut verified = verify_any(header, body, slices.next().unwrap_or_default(), now, TOLERANCE);
    for slice in slices {
        if verified != Err(VerifyError::NoMatch) {
            break;
        }
        tokio::task::yield_now().await;
        verified = verify_any(header, body, slice, now, TOLERANCE);
    }
    verified
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
