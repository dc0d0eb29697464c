//! Continue tokens: where the next page of a list starts. Opaque to clients, sealed, and good for one user and one list.
//!
//! Knows no cache. Source: k8s.io/apiserver `pkg/storage/continue.go`.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use federation_store::{Cond, Op, Store, StoreError, TxnError};
use ring::hmac;
use serde::{Deserialize, Serialize};

use crate::error::ApiError;

/// Longest continue token, in bytes: a key has at most 4 KiB.
const MAX_TOKEN_BYTES: usize = 8 * 1024;
/// Where the store keeps the key, so that tokens outlive a restart and hold at every replica.
const KEY: &str = "/fedgate/continue-key";

/// Seals tokens.
#[derive(Debug)]
pub struct Seal(hmac::Key);

/// Where a list goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The revision of the first page; -1 goes on with whatever is newest.
    pub rev: i64,
    /// The first key that may be in the page, relative to the list's namespace.
    pub start: String,
}

#[derive(Serialize, Deserialize)]
struct Written {
    v: String,
    rv: i64,
    start: String,
    #[serde(default)]
    mac: String,
}

impl Seal {
    /// The key of the store, made where there is none.
    ///
    /// # Errors
    /// Where the store cannot be read or written.
    pub async fn open(store: &dyn Store) -> Result<Self, StoreError> {
        let key = Bytes::from_static(KEY.as_bytes());
        let secret: [u8; 32] = rand::random();
        let op = Op::Put { key: key.clone(), val: Bytes::copy_from_slice(&secret) };
        match store.get(&key).await? {
            (Some(kv), _) => return Ok(Self::of(&kv.val)),
            (None, _) => match store.txn(vec![(key, Cond::Absent)], vec![op]).await {
                Ok(_) => {}
                // Another replica was faster.
                Err(TxnError::Failed { current: Some(kv), .. }) => return Ok(Self::of(&kv.val)),
                Err(TxnError::Failed { .. }) => {}
                Err(TxnError::Store(error)) => return Err(error),
            },
        }
        Ok(Self::of(&secret))
    }

    /// Seals with this key.
    pub fn of(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// The token as text; `about` names the user and the list.
    pub fn encode(&self, token: &Token, about: &str) -> String {
        let mac = URL_SAFE_NO_PAD.encode(hmac::sign(&self.0, signed(token, about).as_bytes()));
        let written = Written { v: "meta.k8s.io/v1".to_owned(), rv: token.rev, start: token.start.clone(), mac };
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&written).expect("a token serialises"))
    }

    /// Reads a token that this server has made for the same user and list.
    ///
    /// # Errors
    /// 400 for everything else.
    pub fn decode(&self, text: &str, about: &str) -> Result<Token, ApiError> {
        let refuse = |why: &str| ApiError::BadRequest(format!("invalid continue token: {why}"));
        let invalid = |why: &str| refuse(&format!("continue key is not valid: {why}"));
        if text.len() > MAX_TOKEN_BYTES {
            return Err(invalid("it is too long"));
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|error| invalid(&error.to_string()))?;
        let written: Written = serde_json::from_slice(&bytes).map_err(|error| invalid(&error.to_string()))?;
        if written.v != "meta.k8s.io/v1" {
            return Err(refuse(&format!("server does not recognize this encoded version {}", written.v)));
        }
        if written.rv == 0 || written.rv < -1 {
            return Err(refuse("incorrect encoded start resourceVersion (version meta.k8s.io/v1)"));
        }
        if written.start.is_empty() {
            return Err(refuse("encoded start key empty (version meta.k8s.io/v1)"));
        }
        let clean = |part: &str| !part.is_empty() && part != "." && part != "..";
        if !written.start.split('/').all(clean) {
            return Err(invalid(&written.start));
        }
        let mac = URL_SAFE_NO_PAD.decode(&written.mac).map_err(|_| invalid("it was not made by this server"))?;
        let token = Token { rev: written.rv, start: written.start };
        match hmac::verify(&self.0, signed(&token, about).as_bytes(), &mac) {
            Ok(()) => Ok(token),
            Err(_) => Err(invalid("it was not made by this server for this list")),
        }
    }
}

fn signed(token: &Token, about: &str) -> String {
    format!("{about}\n{}\n{}", token.rev, token.start)
}

#[cfg(test)]
mod tests {
    use super::{Seal, Token};
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    /// Protocol: L5
    #[test]
    fn tokens_are_good_for_one_user_and_list() {
        let seal = Seal::of(b"secret");
        let token = Token { rev: 7, start: "ns/name\0".to_owned() };
        let text = seal.encode(&token, "alice\nconfigmaps");
        assert_eq!(seal.decode(&text, "alice\nconfigmaps").expect("ours"), token);
        for about in ["bob\nconfigmaps", "alice\nsecrets"] {
            assert!(seal.decode(&text, about).is_err(), "{about}");
        }
        assert!(Seal::of(b"other").decode(&text, "alice\nconfigmaps").is_err());
    }

    /// Protocol: L5
    #[test]
    fn forged_tokens_are_refused() {
        let forge = |json: &str| URL_SAFE_NO_PAD.encode(json);
        let cases = [
            ("garbage!".to_owned(), "continue key is not valid"),
            ("e30".to_owned(), "continue key is not valid"),
            (forge(r#"{"v":"meta.k8s.io/v1","rv":0,"start":"a"}"#), "incorrect encoded start resourceVersion"),
            (forge(r#"{"v":"meta.k8s.io/v1","rv":-5,"start":"a"}"#), "incorrect encoded start resourceVersion"),
            (forge(r#"{"v":"meta.k8s.io/v1","rv":1,"start":""}"#), "encoded start key empty"),
            (forge(r#"{"v":"meta.k8s.io/v1","rv":1,"start":"../secrets/x"}"#), "../secrets/x"),
            (forge(r#"{"v":"meta.k8s.io/v1","rv":1,"start":"a//b"}"#), "a//b"),
            (forge(r#"{"v":"meta.k8s.io/v2","rv":1,"start":"a"}"#), "does not recognize this encoded version"),
            (forge(r#"{"v":"meta.k8s.io/v1","rv":1,"start":"a"}"#), "not made by this server"),
            ("A".repeat(10_000), "too long"),
        ];
        for (token, why) in cases {
            let error = Seal::of(b"secret").decode(&token, "about").expect_err(&token).to_string();
            assert!(error.starts_with("invalid continue token: ") && error.contains(why), "{error}");
        }
    }
}
