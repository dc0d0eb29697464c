//! JSON Web Tokens of other issuers: their keys as a JSON Web Key Set, and what a token has to say to be believed.
//!
//! Pure: the time is passed in, and keys are never fetched. What becomes of a claim is for whoever asks.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512,
    RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::service_account::jws::Parts;

/// Bytes of a key set.
const SET_BYTES_MAX: usize = 256 * 1024;
/// Keys of a set: a token without a key's name is tried with each.
const KEYS_MAX: usize = 64;

/// What a token is signed with; nothing symmetric, since then a public key would be a secret that everybody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

/// The public keys of an issuer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySet(Vec<Key>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    id: Option<String>,
    /// The only one that it is for, if it says so.
    only: Option<Algorithm>,
    material: Material,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// Why a text is no key set that could be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    #[error("it is larger than {SET_BYTES_MAX} bytes")]
    Large,
    #[error("it is no JSON Web Key Set")]
    Malformed,
    #[error("it has no key to verify signatures with")]
    Empty,
    #[error("it has more than {KEYS_MAX} keys")]
    Many,
}

/// What a token has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verifier {
    pub issuer: String,
    /// One of these.
    pub audiences: BTreeSet<String>,
    pub keys: KeySet,
    /// Seconds by which clocks may differ.
    pub leeway: u32,
}

/// Why a token is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwtError {
    #[error("the token is malformed")]
    Malformed,
    #[error("the signature algorithm is not supported")]
    Algorithm,
    #[error("the token is signed with an unknown key")]
    Key,
    #[error("the signature is wrong")]
    Signature,
    #[error("the token is of another issuer")]
    Issuer,
    #[error("the token is for another audience")]
    Audience,
    #[error("the token has expired")]
    Expired,
    #[error("the token is not valid yet")]
    Early,
}

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Algorithm {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "PS256" => Self::Ps256,
            "PS384" => Self::Ps384,
            "PS512" => Self::Ps512,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "EdDSA" => Self::EdDsa,
            _ => return None,
        })
    }

    fn of_rsa(self) -> Option<&'static RsaParameters> {
        Some(match self {
            Self::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
            Self::Rs384 => &RSA_PKCS1_2048_8192_SHA384,
            Self::Rs512 => &RSA_PKCS1_2048_8192_SHA512,
            Self::Ps256 => &RSA_PSS_2048_8192_SHA256,
            Self::Ps384 => &RSA_PSS_2048_8192_SHA384,
            Self::Ps512 => &RSA_PSS_2048_8192_SHA512,
            Self::Es256 | Self::Es384 | Self::EdDsa => return None,
        })
    }
}

impl KeySet {
    /// Reads the keys that can verify signatures; others are passed over, as RFC 7517 §5 has it.
    ///
    /// # Errors
    /// [`KeySetError`]
    pub fn read(text: &[u8]) -> Result<Self, KeySetError> {
        if text.len() > SET_BYTES_MAX {
            return Err(KeySetError::Large);
        }
        let set: Jwks = serde_json::from_slice(text).map_err(|_| KeySetError::Malformed)?;
        let keys: Vec<Key> = set.keys.into_iter().filter_map(Key::read).collect();
        match keys.len() {
            0 => Err(KeySetError::Empty),
            count if count > KEYS_MAX => Err(KeySetError::Many),
            _ => Ok(Self(keys)),
        }
    }
}

impl Key {
    fn read(value: Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        let verifies = jwk.key_ops.as_ref().is_none_or(|all| all.iter().any(|one| one == "verify"));
        if jwk.usage.as_deref().is_some_and(|usage| usage != "sig") || !verifies {
            return None;
        }
        let only = match &jwk.alg {
            None => None,
            Some(name) => Some(Algorithm::named(name)?),
        };
        let decoded = |text: &Option<String>| URL_SAFE_NO_PAD.decode(text.as_ref()?).ok();
        let point = |length: usize| {
            let (x, y) = (decoded(&jwk.x)?, decoded(&jwk.y)?);
            (x.len() == length && y.len() == length).then(|| [&[4][..], &x, &y].concat())
        };
        let material = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", _) => Material::Rsa { n: decoded(&jwk.n)?, e: decoded(&jwk.e)? },
            ("EC", Some("P-256")) => Material::P256(point(32)?),
            ("EC", Some("P-384")) => Material::P384(point(48)?),
            ("OKP", Some("Ed25519")) => Material::Ed25519(decoded(&jwk.x).filter(|x| x.len() == 32)?),
            _ => return None,
        };
        Some(Self { id: jwk.kid, only, material })
    }

    /// Whether the key is of the kind that `algorithm` is for.
    fn fits(&self, algorithm: Algorithm) -> bool {
        let kind = match self.material {
            Material::Rsa { .. } => algorithm.of_rsa().is_some(),
            Material::P256(_) => algorithm == Algorithm::Es256,
            Material::P384(_) => algorithm == Algorithm::Es384,
            Material::Ed25519(_) => algorithm == Algorithm::EdDsa,
        };
        kind && self.only.is_none_or(|only| only == algorithm)
    }

    fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let verified = match (&self.material, algorithm.of_rsa()) {
            (Material::Rsa { n, e }, Some(parameters)) => {
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature)
            }
            (Material::P256(point), None) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature)
            }
            (Material::P384(point), None) => {
                UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point).verify(message, signature)
            }
            (Material::Ed25519(key), None) => UnparsedPublicKey::new(&ED25519, key).verify(message, signature),
            _ => return false,
        };
        verified.is_ok()
    }
}

impl Verifier {
    /// The claims of a token that is good at `now`, in seconds since 1970.
    ///
    /// # Errors
    /// [`JwtError`]; nothing that the token says is believed before its signature is verified.
    pub fn verify(&self, token: &str, now: u64) -> Result<Map<String, Value>, JwtError> {
        let parts = Parts::read(token).ok_or(JwtError::Malformed)?;
        if parts.header.crit.is_some() {
            return Err(JwtError::Algorithm);
        }
        let algorithm = Algorithm::named(&parts.header.alg).ok_or(JwtError::Algorithm)?;
        let named = |key: &&Key| parts.header.kid.is_none() || key.id == parts.header.kid;
        let mut known = self.keys.0.iter().filter(named).filter(|key| key.fits(algorithm)).peekable();
        if known.peek().is_none() {
            return Err(JwtError::Key);
        }
        if !known.any(|key| key.verifies(algorithm, parts.signed.as_bytes(), &parts.signature)) {
            return Err(JwtError::Signature);
        }
        let claims: Map<String, Value> = parts.claims().map_err(|_| JwtError::Malformed)?;
        self.check(&claims, now)?;
        Ok(claims)
    }

    fn check(&self, claims: &Map<String, Value>, now: u64) -> Result<(), JwtError> {
        if claims.get("iss").and_then(Value::as_str) != Some(&self.issuer) {
            return Err(JwtError::Issuer);
        }
        let ours = |audience: &Value| audience.as_str().is_some_and(|audience| self.audiences.contains(audience));
        let meant = match claims.get("aud") {
            Some(Value::Array(all)) => all.iter().any(ours),
            Some(one) => ours(one),
            None => false,
        };
        if !meant {
            return Err(JwtError::Audience);
        }
        let (now, leeway) = (now as f64, f64::from(self.leeway));
        // A token that is good for ever is nobody's to give.
        let until = claims.get("exp").and_then(Value::as_f64).ok_or(JwtError::Malformed)?;
        if now >= until + leeway {
            return Err(JwtError::Expired);
        }
        match claims.get("nbf").map(Value::as_f64) {
            Some(None) => Err(JwtError::Malformed),
            Some(Some(from)) if now + leeway < from => Err(JwtError::Early),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
