//! The keys that sign and verify service account tokens: ECDSA P-256, in one file.
//!
//! The private key never leaves this file's types.

use super::TokenError;
use crate::persist;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{KeyPair, PublicKeyData};
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, UnparsedPublicKey};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};
use std::fmt;
use std::path::Path;

/// What stands before the 65 bytes of an uncompressed P-256 point in its SubjectPublicKeyInfo.
///
/// Source: RFC 5480 §2.
const SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const POINT_BYTES: usize = 65;

/// A key that signs tokens.
pub struct ServiceAccountKey {
    pair: EcdsaKeyPair,
    random: SystemRandom,
    public: VerifyingKey,
}

/// A key that tokens are verified with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyingKey {
    id: String,
    point: [u8; POINT_BYTES],
}

impl ServiceAccountKey {
    /// Makes a key, kept nowhere.
    ///
    /// # Errors
    /// [`TokenError::Sign`] when the random source fails.
    pub fn generate() -> Result<Self, TokenError> {
        let pair = KeyPair::generate().map_err(|_| TokenError::Sign)?;
        Self::from_pair(&pair)
    }

    /// Reads the key in `path`, or makes it when there is none.
    ///
    /// # Errors
    /// [`TokenError`] when the file holds something else: a new key would end every token of the old one.
    pub fn open(path: &Path) -> Result<Self, TokenError> {
        if let Some(pem) = persist::read(path)? {
            return Self::from_pem(&pem);
        }
        let pair = KeyPair::generate().map_err(|_| TokenError::Sign)?;
        let key = Self::from_pair(&pair)?;
        persist::write(path, pair.serialize_pem().as_bytes())?;
        Ok(key)
    }

    /// Reads a PKCS #8 private key from PEM.
    ///
    /// # Errors
    /// [`TokenError::Key`] when it is no ECDSA P-256 key.
    pub fn from_pem(pem: &str) -> Result<Self, TokenError> {
        Self::from_pair(&KeyPair::from_pem(pem).map_err(|_| TokenError::Key)?)
    }

    /// The public half.
    pub fn verifying_key(&self) -> &VerifyingKey {
        &self.public
    }

    fn from_pair(pair: &KeyPair) -> Result<Self, TokenError> {
        let random = SystemRandom::new();
        let public = VerifyingKey::from_spki(&pair.subject_public_key_info())?;
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pair.serialized_der(), &random).map_err(|_| TokenError::Key)?;
        Ok(Self { pair, random, public })
    }

    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, TokenError> {
        let signature = self.pair.sign(&self.random, message).map_err(|_| TokenError::Sign)?;
        Ok(signature.as_ref().to_vec())
    }
}

impl fmt::Debug for ServiceAccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServiceAccountKey({})", self.public.id)
    }
}

impl VerifyingKey {
    /// Reads a `PUBLIC KEY` from PEM, for tokens of a key that no longer signs.
    ///
    /// # Errors
    /// [`TokenError::Key`] when it is no ECDSA P-256 key.
    pub fn from_pem(pem: &str) -> Result<Self, TokenError> {
        let spki = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()).map_err(|_| TokenError::Key)?;
        Self::from_spki(&spki)
    }

    /// The key's name in token headers and the key set: the hash of its SubjectPublicKeyInfo.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The key as an RFC 7517 JSON Web Key.
    pub fn to_jwk(&self) -> Value {
        let coordinate = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({
            "use": "sig", "kty": "EC", "alg": "ES256", "crv": "P-256", "kid": self.id,
            "x": coordinate(&self.point[1..33]), "y": coordinate(&self.point[33..]),
        })
    }

    fn from_spki(spki: &[u8]) -> Result<Self, TokenError> {
        let point = spki.strip_prefix(&SPKI_PREFIX).ok_or(TokenError::Key)?;
        let point = point.try_into().map_err(|_| TokenError::Key)?;
        Ok(Self { id: URL_SAFE_NO_PAD.encode(digest(&SHA256, spki)), point })
    }

    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.point).verify(message, signature).is_ok()
    }
}
