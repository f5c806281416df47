//! The names of the headers, and the values that one call carries.

/// `t=<unix>,v1=<hex>[,v1=<hex>...]`, spelled as Stripe documents it. Header names are compared without case.
pub const STRIPE_SIGNATURE: &str = "Stripe-Signature";

/// Names the fact: the same over every retry and replay, so that receivers can recognise duplicates by it.
pub const WEBHOOK_ID: &str = "webhook-id";

/// When this attempt was signed, in whole seconds since the Unix epoch.
pub const WEBHOOK_TIMESTAMP: &str = "webhook-timestamp";

/// `v1,<base64>[ v1,<base64>...]`.
pub const WEBHOOK_SIGNATURE: &str = "webhook-signature";

/// The four headers that sign one call, under both schemes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureHeaders {
    /// Value of [`STRIPE_SIGNATURE`].
    pub stripe_signature: String,
    /// Value of [`WEBHOOK_ID`].
    pub webhook_id: String,
    /// Value of [`WEBHOOK_TIMESTAMP`].
    pub webhook_timestamp: String,
    /// Value of [`WEBHOOK_SIGNATURE`].
    pub webhook_signature: String,
}

impl SignatureHeaders {
    /// Every header as name and value, ready to be put on a request.
    #[must_use]
    pub fn pairs(&self) -> [(&'static str, &str); 4] {
        [
            (STRIPE_SIGNATURE, self.stripe_signature.as_str()),
            (WEBHOOK_ID, self.webhook_id.as_str()),
            (WEBHOOK_TIMESTAMP, self.webhook_timestamp.as_str()),
            (WEBHOOK_SIGNATURE, self.webhook_signature.as_str()),
        ]
    }

    /// One header's value by its name, whatever its case: what [`verify_any`](crate::verify_any) asks a request for.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs().into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}
