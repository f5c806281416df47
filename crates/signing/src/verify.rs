//! Verifying a request that came with either scheme, or with both.

use std::time::Duration;

use crate::header::{STRIPE_SIGNATURE, WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP};
use crate::standard::StandardHeaders;
use crate::{Secret, standard, stripe};

/// The scheme under which a request was verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Standard Webhooks 1.0.0.
    Standard,
    /// Stripe's, which signs no id.
    Stripe,
}

/// What a signature vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// [`Scheme::Standard`] when the request came with both, since it says more.
    pub scheme: Scheme,
    /// The id to recognise duplicates by. `None` under Stripe's scheme: a `webhook-id` beside it is not signed, and
    /// whoever replays the request could have changed it.
    pub webhook_id: Option<String>,
    /// When the call was signed, in seconds since the Unix epoch.
    pub timestamp: i64,
}

/// Why a request was not verified. Nothing in it is secret: it may be logged, and told to the sender.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// A header that is needed is absent, or is not text.
    #[error("the header {header} is missing")]
    Missing {
        /// The header's name.
        header: &'static str,
    },
    /// A header is there but cannot be read.
    #[error("the header {header} is malformed: {reason}")]
    Malformed {
        /// The header's name.
        header: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Signed too long ago, or ahead of our clock.
    #[error("the timestamp {timestamp} is too far from now, {now_unix}")]
    TimestampOutsideTolerance {
        /// The sender's time, in seconds since the Unix epoch.
        timestamp: i64,
        /// The receiver's time, in seconds since the Unix epoch.
        now_unix: i64,
    },
    /// No signature was made over this body with one of the secrets.
    #[error("no signature matches")]
    NoMatch,
}

/// Verifies a request by its headers, whichever scheme it came with.
///
/// `header` looks a value up by name, without regard to case; a value that is not text counts as absent. A scheme that
/// is presented must hold: a request with a good signature of one scheme and a bad one of the other was tampered with.
/// A timestamp may be `tolerance` away from `now_unix` (seconds since the Unix epoch) on either side.
///
/// # Errors
/// [`VerifyError`], of Standard Webhooks first when both schemes are presented.
pub fn verify_any<'a>(
    header: impl Fn(&str) -> Option<&'a str>,
    body: &[u8],
    secrets: &[&Secret],
    now_unix: i64,
    tolerance: Duration,
) -> Result<Verified, VerifyError> {
    let standard = match header(WEBHOOK_SIGNATURE) {
        Some(signature) => {
            let present = |name| header(name).ok_or(VerifyError::Missing { header: name });
            let headers = StandardHeaders {
                id: present(WEBHOOK_ID)?,
                timestamp: present(WEBHOOK_TIMESTAMP)?,
                signature,
            };
            let timestamp = standard::verify(headers, body, secrets, now_unix, tolerance)?;
            Some(Verified { scheme: Scheme::Standard, webhook_id: Some(headers.id.to_owned()), timestamp })
        }
        None => None,
    };
    let stripe = match header(STRIPE_SIGNATURE) {
        Some(value) => {
            let timestamp = stripe::verify(value, body, secrets, now_unix, tolerance)?;
            Some(Verified { scheme: Scheme::Stripe, webhook_id: None, timestamp })
        }
        None => None,
    };
    standard.or(stripe).ok_or(VerifyError::Missing { header: WEBHOOK_SIGNATURE })
}
