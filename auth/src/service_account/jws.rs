//! JSON Web Signatures in their compact form; those of our own tokens with ES256 and nothing else.
//!
//! The algorithm is ours and not the token's: a header that names another one is refused before anything is verified.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

/// Longer tokens are refused before they are parsed; ours are below 2 kB.
const MAX_BYTES: usize = 16 * 1024;
const ALGORITHM: &str = "ES256";

/// A token taken apart; nothing in it is verified.
pub(crate) struct Parts<'a> {
    /// What the signature is over.
    pub(crate) signed: &'a str,
    pub(crate) header: Header,
    pub(crate) payload: Vec<u8>,
    pub(crate) signature: Vec<u8>,
}

/// The protected header. Fields that would bring their own keys (`jwk`, `jku`, `x5u`, `x5c`) are never looked at.
#[derive(Debug, Deserialize)]
pub(crate) struct Header {
    pub(crate) alg: String,
    #[serde(default)]
    pub(crate) kid: Option<String>,
    #[serde(default)]
    pub(crate) crit: Option<serde_json::Value>,
}

impl<'a> Parts<'a> {
    /// `None` for what is no compact JSON Web Signature at all.
    pub(crate) fn read(token: &'a str) -> Option<Self> {
        if token.len() > MAX_BYTES {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        if payload.contains('.') {
            return None;
        }
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        Some(Self {
            signed,
            header: serde_json::from_slice(&decode(header)?).ok()?,
            payload: decode(payload)?,
            signature: decode(signature)?,
        })
    }

    /// Whether the header asks for what we do, and for nothing that we do not understand.
    ///
    /// # Errors
    /// What it asks for.
    pub(super) fn check_header(&self) -> Result<(), String> {
        if self.header.alg != ALGORITHM {
            return Err("the signature algorithm is not ES256".to_owned());
        }
        if self.header.crit.is_some() {
            return Err("the header has critical extensions".to_owned());
        }
        Ok(())
    }

    pub(crate) fn claims<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.payload)
    }
}

/// The part that is to be signed.
pub(super) fn unsigned(key_id: &str, claims: &[u8]) -> String {
    let header = json!({"alg": ALGORITHM, "kid": key_id}).to_string();
    let mut text = URL_SAFE_NO_PAD.encode(header);
    text.push('.');
    URL_SAFE_NO_PAD.encode_string(claims, &mut text);
    text
}

/// The whole token.
pub(super) fn signed(mut unsigned: String, signature: &[u8]) -> String {
    unsigned.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut unsigned);
    unsigned
}
