//! What the hub shows a member to be let in, as it stands in a Secret.
//!
//! Never prints a secret; refuses whatever would make the server read a file or run a program.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use federation_types::{label, text};
use serde_json::{Value, json};

/// A bearer token or a client certificate.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    Token(String),
    /// PEM certificate chain and PEM key.
    Certificate {
        chain: String,
        key: String,
    },
}

/// Why a Secret or kubeconfig gives no credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    #[error("the Secret is of type {0:?}, not {expected:?}", expected = label::CREDENTIALS_TYPE)]
    Type(String),
    #[error("data.{0} is not base64 of UTF-8 text")]
    Encoding(&'static str),
    #[error("the Secret holds neither data.token nor data[\"tls.crt\"] with data[\"tls.key\"]")]
    Missing,
    #[error("{0} is not allowed in credentials that a server uses: give the content itself")]
    Indirect(String),
    #[error("the kubeconfig cannot be used: {0}")]
    Kubeconfig(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Token(_) => "Token(…)",
            Self::Certificate { .. } => "Certificate(…)",
        })
    }
}

impl Credentials {
    /// Reads the credentials Secret of a Cluster.
    ///
    /// # Errors
    /// [`CredentialError`] names what is wrong, never the content.
    pub fn from_secret(secret: &Value) -> Result<Self, CredentialError> {
        let kind = text::str_at(secret, &["type"]);
        if kind != label::CREDENTIALS_TYPE {
            return Err(CredentialError::Type(kind.to_owned()));
        }
        if let Some(kubeconfig) = decode(secret, "kubeconfig")? {
            return crate::kubeconfig::Kubeconfig::parse(&kubeconfig)?.inline("").map(|context| context.credentials);
        }
        if let Some(token) = decode(secret, "token")? {
            return Ok(Self::Token(token.trim().to_owned()));
        }
        match (decode(secret, "tls.crt")?, decode(secret, "tls.key")?) {
            (Some(chain), Some(key)) => Ok(Self::Certificate { chain, key }),
            _ => Err(CredentialError::Missing),
        }
    }

    /// The Secret that holds these credentials of the member `name`.
    #[must_use]
    pub fn to_secret(&self, name: &str) -> Value {
        let data = match self {
            Self::Token(token) => json!({"token": STANDARD.encode(token)}),
            Self::Certificate { chain, key } => {
                json!({"tls.crt": STANDARD.encode(chain), "tls.key": STANDARD.encode(key)})
            }
        };
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": label::SYSTEM_NAMESPACE},
            "type": label::CREDENTIALS_TYPE,
            "data": data,
        })
    }
}

fn decode(secret: &Value, key: &'static str) -> Result<Option<String>, CredentialError> {
    let Some(encoded) = secret.get("data").and_then(|data| data.get(key)) else { return Ok(None) };
    let bytes = encoded.as_str().and_then(|text| STANDARD.decode(text).ok());
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    match text {
        Some(text) if !text.trim().is_empty() => Ok(Some(text)),
        Some(_) => Ok(None),
        None => Err(CredentialError::Encoding(key)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{CredentialError, Credentials};

    #[test]
    fn a_secret_round_trips_and_debug_tells_nothing() {
        let token = Credentials::Token("s3cret".to_owned());
        assert_eq!(Credentials::from_secret(&token.to_secret("east")), Ok(token.clone()));
        assert!(!format!("{token:?}").contains("s3cret"));
        let pair = Credentials::Certificate { chain: "c".to_owned(), key: "k".to_owned() };
        assert_eq!(Credentials::from_secret(&pair.to_secret("east")), Ok(pair));
    }

    #[test]
    fn hostile_secrets_are_named() {
        let kind = "fedgate.dev/cluster-credentials";
        assert!(matches!(Credentials::from_secret(&json!({"type": "Opaque"})), Err(CredentialError::Type(_))));
        assert_eq!(Credentials::from_secret(&json!({"type": kind})), Err(CredentialError::Missing));
        assert_eq!(
            Credentials::from_secret(&json!({"type": kind, "data": {"token": "%%"}})),
            Err(CredentialError::Encoding("token"))
        );
        assert_eq!(
            Credentials::from_secret(&json!({"type": kind, "data": {"tls.crt": "Yw=="}})),
            Err(CredentialError::Missing)
        );
    }
}
