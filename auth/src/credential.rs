//! What a request presents to prove an identity, taken out of headers and the TLS session once.
//!
//! Parsing only: nothing here knows whether a credential is good.

use crate::x509::ClientCertificate;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use std::fmt;
use std::sync::Arc;

/// A request that carries a longer Authorization header is refused before it is parsed.
///
/// Twice what the longest accepted token needs.
const MAX_AUTHORIZATION_BYTES: usize = 32 * 1024;
/// The prefix of the WebSocket sub-protocol that carries a bearer token, for browsers, which can set no header.
const WEBSOCKET_BEARER: &str = "base64url.bearer.authorization.k8s.io.";

/// Text that is never shown: `Debug` is redacted, and there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// User name and password of HTTP Basic authentication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Basic {
    pub user: String,
    pub password: Secret,
}

/// Everything that one request presents.
#[derive(Clone, Debug, Default)]
pub struct Credential {
    pub bearer: Option<Secret>,
    pub basic: Option<Basic>,
    /// Shared by all requests of a connection; its chain is not verified yet.
    pub certificate: Option<Arc<ClientCertificate>>,
}

/// Why an Authorization header or WebSocket sub-protocol cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    #[error("more than one Authorization header")]
    RepeatedHeader,
    #[error("the Authorization header is longer than {MAX_AUTHORIZATION_BYTES} bytes")]
    TooLong,
    #[error("the Authorization header is not visible ASCII")]
    NotText,
    #[error("the Basic credential is not base64 of USER:PASSWORD")]
    MalformedBasic,
    #[error("more than one bearer token among the WebSocket sub-protocols")]
    RepeatedWebSocketToken,
    #[error("the WebSocket bearer token is not base64url of UTF-8 text")]
    MalformedWebSocketToken,
    #[error("a WebSocket bearer token needs another sub-protocol beside it")]
    LonelyWebSocketToken,
}

impl Secret {
    /// Wraps what must not be shown.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for comparing and signing; never for messages.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

impl Credential {
    /// Reads the values of all Authorization headers, and takes the connection's certificate along.
    ///
    /// An unknown scheme and an empty bearer token are no credential, as upstream has it.
    ///
    /// # Errors
    /// [`CredentialError`] when there is a header that cannot be read: the request is unauthorized, not anonymous.
    pub fn from_headers<'a>(
        authorization: impl IntoIterator<Item = &'a [u8]>,
        certificate: Option<Arc<ClientCertificate>>,
    ) -> Result<Self, CredentialError> {
        let mut credential = Self { certificate, ..Self::default() };
        let mut values = authorization.into_iter();
        let Some(value) = values.next() else { return Ok(credential) };
        if values.next().is_some() {
            return Err(CredentialError::RepeatedHeader);
        }
        if value.len() > MAX_AUTHORIZATION_BYTES {
            return Err(CredentialError::TooLong);
        }
        let text = std::str::from_utf8(value).map_err(|_| CredentialError::NotText)?.trim();
        if text.bytes().any(|b| b.is_ascii_control() || !b.is_ascii()) {
            return Err(CredentialError::NotText);
        }
        let mut parts = text.splitn(3, ' ');
        let scheme = parts.next().unwrap_or("");
        let Some(value) = parts.next().filter(|value| !value.is_empty()) else {
            return Ok(credential);
        };
        if scheme.eq_ignore_ascii_case("bearer") {
            credential.bearer = Some(Secret::new(value));
        } else if scheme.eq_ignore_ascii_case("basic") {
            credential.basic = Some(parse_basic(value)?);
        }
        Ok(credential)
    }

    /// Whether the request presents nothing at all.
    pub fn is_empty(&self) -> bool {
        let Self { bearer, basic, certificate } = self;
        bearer.is_none() && basic.is_none() && certificate.is_none()
    }
}

fn parse_basic(value: &str) -> Result<Basic, CredentialError> {
    let decoded = STANDARD.decode(value).map_err(|_| CredentialError::MalformedBasic)?;
    let text = String::from_utf8(decoded).map_err(|_| CredentialError::MalformedBasic)?;
    let (user, password) = text.split_once(':').ok_or(CredentialError::MalformedBasic)?;
    Ok(Basic { user: user.to_owned(), password: Secret::new(password) })
}

/// Takes a bearer token out of a `Sec-WebSocket-Protocol` value; the second part is what the upgrade goes on with.
///
/// # Errors
/// [`CredentialError`] when there are two tokens, the token is not text, or no other sub-protocol stands beside it.
///
/// Source: k8s.io/apiserver `pkg/authentication/request/websocket`.
pub fn websocket_bearer(sub_protocols: &str) -> Result<Option<(Secret, String)>, CredentialError> {
    let mut token = None;
    let mut others = Vec::new();
    for entry in sub_protocols.split(',').map(str::trim) {
        let Some(encoded) = entry.strip_prefix(WEBSOCKET_BEARER) else {
            others.push(entry);
            continue;
        };
        if token.is_some() {
            return Err(CredentialError::RepeatedWebSocketToken);
        }
        let decoded = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| CredentialError::MalformedWebSocketToken)?;
        let text = String::from_utf8(decoded).map_err(|_| CredentialError::MalformedWebSocketToken)?;
        token = Some(Secret::new(text));
    }
    match token {
        None => Ok(None),
        Some(_) if others.is_empty() => Err(CredentialError::LonelyWebSocketToken),
        Some(token) => Ok(Some((token, others.join(",")))),
    }
}

#[cfg(test)]
mod tests {
    use super::{Credential, CredentialError, Secret, websocket_bearer};

    fn parse(values: &[&str]) -> Result<Credential, CredentialError> {
        Credential::from_headers(values.iter().map(|v| v.as_bytes()), None)
    }

    #[test]
    fn bearer_headers() {
        for (header, token) in [
            ("Bearer abc", Some("abc")),
            ("bEaReR abc", Some("abc")),
            ("  Bearer abc  ", Some("abc")),
            ("Bearer abc trailing junk", Some("abc")),
            ("Bearer  abc", None),
            ("Bearer ", None),
            ("Bearer", None),
            ("nothing", None),
            ("Negotiate abc", None),
            ("", None),
        ] {
            let credential = parse(&[header]).unwrap();
            assert_eq!(credential.bearer.as_ref().map(Secret::expose), token, "{header:?}");
            assert!(credential.basic.is_none());
        }
        assert_eq!(parse(&["Bearer a", "Bearer b"]).unwrap_err(), CredentialError::RepeatedHeader);
        assert_eq!(parse(&["Bearer a\nX: b"]).unwrap_err(), CredentialError::NotText);
        let long = format!("Bearer {}", "a".repeat(40_000));
        assert_eq!(parse(&[&long]).unwrap_err(), CredentialError::TooLong);
        assert!(parse(&[]).unwrap().is_empty());
    }

    #[test]
    fn basic_headers() {
        let basic = parse(&["Basic YTpiOmM="]).unwrap().basic.unwrap();
        assert_eq!((basic.user.as_str(), basic.password.expose()), ("a", "b:c"));
        for bad in ["Basic !!", "Basic YQ==", "Basic /w=="] {
            assert_eq!(parse(&[bad]).unwrap_err(), CredentialError::MalformedBasic);
        }
    }

    #[test]
    fn websocket_tokens() {
        let prefix = "base64url.bearer.authorization.k8s.io.";
        let (token, rest) = websocket_bearer(&format!("v5.channel.k8s.io, {prefix}YWJj")).unwrap().unwrap();
        assert_eq!((token.expose(), rest.as_str()), ("abc", "v5.channel.k8s.io"));
        assert_eq!(websocket_bearer("v5.channel.k8s.io").unwrap(), None);
        for (bad, want) in [
            (format!("{prefix}YWJj"), CredentialError::LonelyWebSocketToken),
            (format!("{prefix}YWJj,{prefix}YWJj,x"), CredentialError::RepeatedWebSocketToken),
            (format!("{prefix}_w,x"), CredentialError::MalformedWebSocketToken),
            (format!("{prefix}Y=,x"), CredentialError::MalformedWebSocketToken),
        ] {
            assert_eq!(websocket_bearer(&bad).unwrap_err(), want, "{bad}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let shown = format!("{:?} {:?}", parse(&["Bearer hunter2"]), parse(&["Basic dTpodW50ZXIy"]));
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
