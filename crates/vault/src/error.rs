//! Why a vault cannot be made, and why it does not open something.

/// Why a list of keys makes no vault. It names ids, never keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeysRefused {
    /// There is nothing to seal with.
    #[error("at least one key is needed")]
    NoKey,
    /// An id is stored beside everything its key sealed, so it is kept short and plain.
    #[error("the key id {0:?} is not 1 to 32 characters of a-z, A-Z, 0-9, '-' and '_'")]
    BadId(String),
    /// Two keys of one id could not be told apart.
    #[error("the key id {0:?} is given twice")]
    DuplicateId(String),
    /// A key of zeros is a setting that was never filled in.
    #[error("the key {0:?} is all zeros")]
    ZeroKey(String),
}

/// Why something was not sealed or opened. Nothing in it is secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// Sealed under a key that this process was not given: `secrets.keys` lost it too early.
    #[error("no key has the id {0:?}; what it sealed cannot be opened without it")]
    UnknownKey(String),
    /// Not sealed by this key for this owner and purpose, or changed since.
    #[error("the sealed bytes are not authentic")]
    NotAuthentic,
    /// Too long to be sealed or opened.
    #[error("too long to be sealed or opened")]
    TooLong,
}
