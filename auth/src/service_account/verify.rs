//! Issuing and judging tokens of our own issuer.
//!
//! A token of another issuer is somebody else's business and gets no opinion here.

use super::claims::{Claims, Kubernetes};
use super::jws::{self, Parts};
use super::{
    BoundKind, IssuedToken, MAX_LIFETIME, MIN_LIFETIME, ServiceAccountKey, TokenError, TokenReference, TokenSpec,
    VerifyingKey,
};
use crate::authenticate::{AuthenticationError, AuthenticationRequest, Authenticator};
use crate::credential::Secret;
use crate::user::{CREDENTIAL_ID, ServiceAccountName, UserInfo};
use async_trait::async_trait;
use jiff::Timestamp;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A token may be used this much before its time, by clocks that are ahead of ours.
const LEEWAY: Duration = Duration::from_secs(60);
/// Tokens whose signature was found good; as many are remembered, then all are forgotten.
const REMEMBERED: usize = 4096;

/// Whether what a token speaks for is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// The account, and the object that the token is bound to, exist with the same uid.
    Current,
    /// One of them is gone, or another one has its name.
    Gone,
}

/// Asked for each request with a service account token.
#[async_trait]
pub trait ServiceAccountLookup: Send + Sync {
    /// Looks up the account and, if the token is bound, the object.
    ///
    /// # Errors
    /// Why nobody can tell: the request is unauthorized.
    async fn look_up(&self, reference: &TokenReference) -> Result<Lookup, String>;
}

/// The service account tokens of one server.
pub struct ServiceAccountTokens {
    issuer: String,
    audiences: Vec<String>,
    key: ServiceAccountKey,
    retired: Vec<VerifyingKey>,
    lookup: Arc<dyn ServiceAccountLookup>,
    /// Guards the tokens whose signature was good, by hash; held for one map operation.
    good: Mutex<HashMap<[u8; 32], Arc<Claims>>>,
}

/// A token that is good for some audience.
#[derive(Clone, Debug)]
pub struct VerifiedToken {
    pub user: Arc<UserInfo>,
    pub audiences: Vec<String>,
    pub reference: TokenReference,
}

impl ServiceAccountTokens {
    /// Tokens of `issuer`, which serve for requests to this API when they name one of `audiences`.
    ///
    /// # Errors
    /// [`TokenError`] when the issuer is empty, or there is no audience.
    pub fn new(
        issuer: &str,
        audiences: Vec<String>,
        key: ServiceAccountKey,
        lookup: Arc<dyn ServiceAccountLookup>,
    ) -> Result<Self, TokenError> {
        if issuer.is_empty() {
            return Err(TokenError::NoIssuer);
        }
        if audiences.is_empty() {
            return Err(TokenError::NoAudience);
        }
        let good = Mutex::default();
        let retired = Vec::new();
        Ok(Self { issuer: issuer.to_owned(), audiences, key, retired, lookup, good })
    }

    /// Also accepts tokens of a key that no longer signs.
    #[must_use]
    pub fn with_retired_key(mut self, key: VerifyingKey) -> Self {
        self.retired.push(key);
        self
    }

    /// The audiences of this API, which a token request without audiences gets.
    pub fn audiences(&self) -> &[String] {
        &self.audiences
    }

    /// Issues a token.
    ///
    /// # Errors
    /// [`TokenError`] when the lifetime is out of bounds or there is no audience.
    pub fn issue(&self, spec: &TokenSpec, now: Timestamp) -> Result<IssuedToken, TokenError> {
        let TokenSpec { reference, audiences, lifetime } = spec;
        if !(MIN_LIFETIME..=MAX_LIFETIME).contains(lifetime) {
            return Err(TokenError::Lifetime);
        }
        if audiences.is_empty() {
            return Err(TokenError::NoAudience);
        }
        let issued = u64::try_from(now.as_second()).map_err(|_| TokenError::Lifetime)?;
        let expires = now.checked_add(*lifetime).map_err(|_| TokenError::Lifetime)?;
        let claims = Claims {
            aud: audiences.clone(),
            exp: issued + lifetime.as_secs(),
            iat: issued,
            iss: self.issuer.clone(),
            jti: uuid::Uuid::new_v4().to_string(),
            kubernetes: Kubernetes::of(reference),
            nbf: issued,
            sub: ServiceAccountName::new(&reference.namespace, &reference.name).to_string(),
        };
        let claims = serde_json::to_vec(&claims).expect("claims are texts and numbers");
        let unsigned = jws::unsigned(self.key.verifying_key().id(), &claims);
        let signature = self.key.sign(unsigned.as_bytes())?;
        Ok(IssuedToken { token: Secret::new(jws::signed(unsigned, &signature)), expires })
    }

    /// Judges a token for one of `audiences`; `None` when it is not of our issuer.
    ///
    /// # Errors
    /// Why the token is not good; never quotes it.
    pub async fn verify(
        &self,
        token: &str,
        audiences: &[String],
        now: Timestamp,
    ) -> Result<Option<VerifiedToken>, String> {
        let Some(claims) = self.signed_claims(token)? else { return Ok(None) };
        check_time(&claims, now)?;
        let shared: Vec<String> = audiences.iter().filter(|one| claims.aud.contains(one)).cloned().collect();
        if shared.is_empty() {
            return Err("the token is for another audience".to_owned());
        }
        let reference = claims.kubernetes.reference().ok_or("the token is bound to two objects at once")?;
        let account = ServiceAccountName::new(&reference.namespace, &reference.name).to_string();
        if claims.sub != account || ServiceAccountName::parse(&account).is_none() {
            return Err("the subject is not the service account".to_owned());
        }
        match self.lookup.look_up(&reference).await? {
            Lookup::Current => {}
            Lookup::Gone => return Err("the service account or bound object is gone".to_owned()),
        }
        let user = Arc::new(user(&claims, &reference));
        Ok(Some(VerifiedToken { user, audiences: shared, reference }))
    }

    /// The public keys, for `/openid/v1/jwks`.
    pub fn key_set(&self) -> Value {
        json!({"keys": self.keys().map(VerifyingKey::to_jwk).collect::<Vec<_>>()})
    }

    /// The document for `/.well-known/openid-configuration`; `None` unless the issuer is an https URL without query.
    pub fn discovery_document(&self, key_set_url: &str) -> Option<Value> {
        let usable = self.issuer.starts_with("https://") && !self.issuer.contains(['?', '#']);
        usable.then(|| {
            json!({
                "issuer": self.issuer,
                "jwks_uri": key_set_url,
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["ES256"],
            })
        })
    }

    fn keys(&self) -> impl Iterator<Item = &VerifyingKey> {
        std::iter::once(self.key.verifying_key()).chain(&self.retired)
    }

    /// The claims of a token that one of our keys has signed; times and audiences are not looked at.
    fn signed_claims(&self, token: &str) -> Result<Option<Arc<Claims>>, String> {
        let hash: [u8; 32] = digest(&SHA256, token.as_bytes()).as_ref().try_into().expect("SHA-256 gives 32 bytes");
        if let Some(claims) = self.remembered().get(&hash) {
            return Ok(Some(claims.clone()));
        }
        let Some(parts) = Parts::read(token) else { return Ok(None) };
        let issuer = parts.claims::<Value>().ok();
        let issuer = issuer.as_ref().and_then(|claims| claims["iss"].as_str());
        if issuer != Some(&self.issuer) {
            return Ok(None);
        }
        parts.check_header()?;
        let mut candidates = self.keys().filter(|key| parts.header.kid.as_deref().is_none_or(|id| id == key.id()));
        if !candidates.any(|key| key.verifies(parts.signed.as_bytes(), &parts.signature)) {
            return Err("no key of ours has made the signature".to_owned());
        }
        let claims = parts.claims::<Claims>().map_err(|_| "the claims are malformed")?;
        let claims = Arc::new(claims);
        let mut good = self.remembered();
        if good.len() >= REMEMBERED {
            good.clear();
        }
        good.insert(hash, claims.clone());
        Ok(Some(claims))
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], Arc<Claims>>> {
        // Every operation under the lock leaves the map whole.
        self.good.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Authenticator for ServiceAccountTokens {
    async fn authenticate(
        &self,
        request: &AuthenticationRequest<'_>,
    ) -> Result<Option<Arc<UserInfo>>, AuthenticationError> {
        let Some(token) = &request.credential.bearer else { return Ok(None) };
        let verified = self.verify(token.expose(), &self.audiences, request.now).await;
        match verified {
            Ok(token) => Ok(token.map(|token| token.user)),
            Err(why) => Err(AuthenticationError::ServiceAccount(why)),
        }
    }
}

fn check_time(claims: &Claims, now: Timestamp) -> Result<(), String> {
    let now = u64::try_from(now.as_second()).map_err(|_| "the clock is before 1970")?;
    if claims.exp <= now {
        return Err("the token has expired".to_owned());
    }
    if claims.nbf > now.saturating_add(LEEWAY.as_secs()) {
        return Err("the token is not valid yet".to_owned());
    }
    Ok(())
}

fn user(claims: &Claims, reference: &TokenReference) -> UserInfo {
    let TokenReference { namespace, name, uid, bound } = reference;
    let mut user = UserInfo::service_account(namespace, name, uid);
    let mut extra = |key: &str, value: &str| {
        user.extra.insert(key.to_owned(), vec![value.to_owned()]);
    };
    extra(CREDENTIAL_ID, &format!("JTI={}", claims.jti));
    let pod = bound.as_ref().filter(|bound| bound.kind == BoundKind::Pod);
    if let Some(pod) = pod {
        extra("authentication.kubernetes.io/pod-name", &pod.name);
        extra("authentication.kubernetes.io/pod-uid", &pod.uid);
    }
    if let Some(node) = &claims.kubernetes.node {
        extra("authentication.kubernetes.io/node-name", &node.name);
        extra("authentication.kubernetes.io/node-uid", &node.uid);
    }
    user
}
