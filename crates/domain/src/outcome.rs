//! What an attempt came to, and what that means for its delivery and its endpoint.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::retry_after;

/// How one attempt ended. The word is stored with the attempt and shown to its tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptOutcome {
    /// Answered 2xx.
    Succeeded,
    /// Answered with any other status. Redirects are not followed: they count as this.
    Rejected,
    /// No complete answer before the deadline.
    Timeout,
    /// The host's name could not be resolved.
    DnsError,
    /// No TLS session could be made, mostly because of a certificate.
    TlsError,
    /// Refused, reset, or not HTTP.
    ConnectionError,
    /// The address may not be called; nothing was connected.
    Blocked,
    /// Trunkline could not make the call, through no fault of the endpoint.
    InternalError,
    /// The worker that made it disappeared; nobody knows what the endpoint saw.
    Abandoned,
    /// Cancelled or retried by hand while it was under way; its result changes nothing.
    Superseded,
}

impl AttemptOutcome {
    /// The word used in SQL, JSON and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Rejected => "rejected",
            Self::Timeout => "timeout",
            Self::DnsError => "dns_error",
            Self::TlsError => "tls_error",
            Self::ConnectionError => "connection_error",
            Self::Blocked => "blocked",
            Self::InternalError => "internal_error",
            Self::Abandoned => "abandoned",
            Self::Superseded => "superseded",
        }
    }

    /// Whether the endpoint is to blame: only such failures count towards disabling it by itself. A blocked address is
    /// our own refusal, and of an attempt that was abandoned or superseded nobody knows what the endpoint would have said.
    pub fn is_fault_of_endpoint(self) -> bool {
        match self {
            Self::Rejected | Self::Timeout | Self::DnsError | Self::TlsError | Self::ConnectionError => true,
            Self::Succeeded | Self::Blocked | Self::InternalError | Self::Abandoned | Self::Superseded => {
                false
            }
        }
    }
}

/// What an attempt brought back: the head of an answer, or the reason why there is none.
#[derive(Debug, Clone, Copy)]
pub enum Answer<'a> {
    /// The endpoint answered.
    Status {
        /// The HTTP status code.
        code: u16,
        /// The value of `Retry-After`, unparsed, if there was one.
        retry_after: Option<&'a str>,
    },
    /// There was no complete answer.
    None(AttemptOutcome),
}

/// What follows from an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Stored with the attempt.
    pub outcome: AttemptOutcome,
    /// What else happens to the endpoint.
    pub consequence: Consequence,
}

/// What an answer does to its endpoint, beyond this delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consequence {
    /// Nothing.
    None,
    /// The endpoint asked for quiet: none of its deliveries is attempted for that long, this one included.
    Pause(Duration),
    /// The endpoint said that it is gone for good (410): it is disabled.
    Disable,
}

/// Decides what an answer means: success is 2xx only; 410 disables; 429 and 503 may ask for a pause.
///
/// `now` resolves a `Retry-After` that is a date.
pub fn classify(answer: Answer<'_>, now: DateTime<Utc>) -> Verdict {
    let (code, hint) = match answer {
        Answer::None(outcome) => {
            return Verdict { outcome, consequence: Consequence::None };
        }
        Answer::Status { code, retry_after } => (code, retry_after),
    };
    let outcome =
        if (200..300).contains(&code) { AttemptOutcome::Succeeded } else { AttemptOutcome::Rejected };
    let consequence = match code {
        410 => Consequence::Disable,
        429 | 503 => hint
            .and_then(|value| retry_after::parse(value, now))
            .map_or(Consequence::None, Consequence::Pause),
        _ => Consequence::None,
    };
    Verdict { outcome, consequence }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16, retry_after: Option<&str>) -> Verdict {
        classify(Answer::Status { code, retry_after }, DateTime::UNIX_EPOCH)
    }

    #[test]
    fn only_2xx_is_success() {
        for code in 100..=599 {
            let expected = if code / 100 == 2 { AttemptOutcome::Succeeded } else { AttemptOutcome::Rejected };
            assert_eq!(status(code, None).outcome, expected, "{code}");
        }
    }

    #[test]
    fn our_own_faults_are_not_the_endpoints() {
        use AttemptOutcome::*;
        for outcome in [Rejected, Timeout, DnsError, TlsError, ConnectionError] {
            assert!(outcome.is_fault_of_endpoint(), "{}", outcome.as_str());
        }
        for outcome in [Succeeded, Blocked, InternalError, Abandoned, Superseded] {
            assert!(!outcome.is_fault_of_endpoint(), "{}", outcome.as_str());
        }
    }

    #[test]
    fn retry_after_counts_only_where_it_means_not_now() {
        let pause = Consequence::Pause(Duration::from_secs(7));
        for (code, expected) in [
            (429, pause),
            (503, pause),
            (200, Consequence::None),
            (301, Consequence::None),
            (500, Consequence::None),
            (410, Consequence::Disable),
        ] {
            assert_eq!(status(code, Some("7")).consequence, expected, "{code}");
        }
        assert_eq!(status(503, Some("soon")).consequence, Consequence::None);
    }

    #[test]
    fn no_answer_keeps_its_reason() {
        let verdict = classify(Answer::None(AttemptOutcome::Timeout), DateTime::UNIX_EPOCH);
        assert_eq!(verdict, Verdict { outcome: AttemptOutcome::Timeout, consequence: Consequence::None });
    }
}
