use super::super::reader::Reader;
use super::super::secret_keys::{self, SecretsKey};
use secrecy::SecretString;

/// `operator.*`
#[derive(Debug, Clone, Default)]
pub struct OperatorSettings {
    /// Keys that may use operator routes, each of 16 or more characters; none closes those routes.
    pub keys: Vec<SecretString>,
}

impl OperatorSettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        Self { keys: secret_keys::operator_keys(reader) }
    }
}

/// `secrets.*`
#[derive(Debug, Clone, Default)]
pub struct SecretsSettings {
    /// The first encrypts, all decrypt. Empty is refused by those who need it, see
    /// [`require_secrets_keys`](crate::settings::Settings::require_secrets_keys).
    pub keys: Vec<SecretsKey>,
}

impl SecretsSettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        Self { keys: secret_keys::secrets_keys(reader) }
    }
}

/// Who may create a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Signup {
    /// Holders of an operator key.
    #[default]
    Operator,
    /// Anyone: for demonstrations.
    Open,
}

impl Signup {
    pub(super) fn read(reader: &mut Reader) -> Self {
        reader.choice("signup", Self::default(), &[("operator", Self::Operator), ("open", Self::Open)])
    }
}
