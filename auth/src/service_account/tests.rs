//! Tokens good, stale, foreign and forged.

use super::jws;
use super::{
    BoundKind, BoundObject, DEFAULT_LIFETIME, Lookup, ServiceAccountKey, ServiceAccountLookup, ServiceAccountTokens,
    TokenError, TokenReference, TokenSpec, VerifyingKey,
};
use crate::{AuthenticationRequest, Authenticator, Credential, Secret};
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const ISSUER: &str = "https://hub.example";

struct Store(Mutex<Result<Lookup, String>>);

#[async_trait]
impl ServiceAccountLookup for Store {
    async fn look_up(&self, reference: &TokenReference) -> Result<Lookup, String> {
        if reference.uid == "7" { self.0.lock().unwrap().clone() } else { Ok(Lookup::Gone) }
    }
}

fn now() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(now().as_second() + seconds).unwrap()
}

fn server(key: ServiceAccountKey) -> (ServiceAccountTokens, Arc<Store>) {
    let store = Arc::new(Store(Mutex::new(Ok(Lookup::Current))));
    let tokens = ServiceAccountTokens::new(ISSUER, vec!["hub".into()], key, store.clone());
    (tokens.unwrap(), store)
}

fn spec(uid: &str, bound: Option<BoundObject>) -> TokenSpec {
    TokenSpec {
        reference: TokenReference { namespace: "shop".into(), name: "web".into(), uid: uid.into(), bound },
        audiences: vec!["hub".into(), "vault".into()],
        lifetime: DEFAULT_LIFETIME,
    }
}

async fn verify(tokens: &ServiceAccountTokens, token: &str, now: Timestamp) -> Result<Option<String>, String> {
    let credential = Credential { bearer: Some(Secret::new(token)), ..Credential::default() };
    let request = AuthenticationRequest { credential: &credential, path: "/", now };
    match tokens.authenticate(&request).await {
        Ok(user) => Ok(user.map(|user| user.name.clone())),
        Err(error) => Err(error.to_string()),
    }
}

/// Protocol: AU1, AU2
#[tokio::test]
async fn issued_tokens_are_good_until_they_expire_or_their_account_goes() {
    let (tokens, store) = server(ServiceAccountKey::generate().unwrap());
    let issued = tokens.issue(&spec("7", None), now()).unwrap();
    assert_eq!(issued.expires, at(3600));
    let token = issued.token.expose();
    let good = Ok(Some("system:serviceaccount:shop:web".to_owned()));
    assert_eq!(verify(&tokens, token, now()).await, good);
    assert_eq!(verify(&tokens, token, at(3599)).await, good);
    assert!(verify(&tokens, token, at(3600)).await.unwrap_err().contains("expired"));
    assert_eq!(verify(&tokens, token, at(-60)).await, good);
    assert!(verify(&tokens, token, at(-61)).await.unwrap_err().contains("not valid yet"));
    *store.0.lock().unwrap() = Ok(Lookup::Gone);
    assert!(verify(&tokens, token, now()).await.unwrap_err().contains("gone"));
    *store.0.lock().unwrap() = Err("the store is away".into());
    assert!(verify(&tokens, token, now()).await.unwrap_err().contains("the store is away"));
    let other = tokens.issue(&spec("8", None), now()).unwrap();
    assert!(verify(&tokens, other.token.expose(), now()).await.unwrap_err().contains("gone"));
    assert!(!format!("{issued:?}").contains(token));
}

/// Protocol: AU1, AU2
#[tokio::test]
async fn audiences_and_bound_objects() {
    let (tokens, _) = server(ServiceAccountKey::generate().unwrap());
    let pod = BoundObject { kind: BoundKind::Pod, name: "web-1".into(), uid: "9".into() };
    let issued = tokens.issue(&spec("7", Some(pod.clone())), now()).unwrap();
    let token = issued.token.expose();
    let verified = tokens.verify(token, &["vault".into(), "x".into()], now()).await.unwrap().unwrap();
    assert_eq!(verified.audiences, ["vault"]);
    assert_eq!(verified.reference.bound, Some(pod));
    assert_eq!(verified.user.uid, "7");
    assert_eq!(verified.user.extra["authentication.kubernetes.io/pod-uid"], ["9"]);
    assert!(verified.user.extra["authentication.kubernetes.io/credential-id"][0].starts_with("JTI="));
    assert!(tokens.verify(token, &["x".into()], now()).await.unwrap_err().contains("audience"));
    assert!(tokens.verify(token, &[], now()).await.is_err());
}

/// Protocol: AU2
#[test]
fn requests_that_cannot_be_met() {
    let (tokens, _) = server(ServiceAccountKey::generate().unwrap());
    for lifetime in [Duration::from_secs(599), Duration::from_secs((1 << 32) + 1), Duration::MAX] {
        let refused = tokens.issue(&TokenSpec { lifetime, ..spec("7", None) }, now());
        assert!(matches!(refused, Err(TokenError::Lifetime)));
    }
    let refused = tokens.issue(&TokenSpec { audiences: vec![], ..spec("7", None) }, now());
    assert!(matches!(refused, Err(TokenError::NoAudience)));
}

/// A token that our key signs over any header and claims.
fn forged(key: &ServiceAccountKey, header: &Value, claims: &str) -> String {
    let unsigned = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims));
    let signature = key.sign(unsigned.as_bytes()).unwrap();
    jws::signed(unsigned, &signature)
}

#[tokio::test]
async fn hostile_tokens() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sa.key");
    let key = ServiceAccountKey::open(&path).unwrap();
    let stranger = ServiceAccountKey::generate().unwrap();
    let (tokens, _) = server(ServiceAccountKey::open(&path).unwrap());
    let claims = json!({
        "aud": "hub", "exp": at(600).as_second(), "iat": at(9000).as_second(), "nbf": now().as_second(),
        "iss": ISSUER, "jti": "1", "sub": "system:serviceaccount:shop:web",
        "kubernetes.io": {"namespace": "shop", "serviceaccount": {"name": "web", "uid": "7"}},
    });
    let with = |path: &str, value: Value| {
        let mut claims = claims.clone();
        *claims.pointer_mut(path).unwrap() = value;
        claims.to_string()
    };
    let es256 = json!({"alg": "ES256"});
    let plain = claims.to_string();
    let good = forged(&key, &es256, &plain);
    assert!(verify(&tokens, &good, now()).await.unwrap().is_some(), "no key id: every key is tried");

    let (signed, _) = good.rsplit_once('.').unwrap();
    let empty = URL_SAFE_NO_PAD.encode([0; 64]);
    let refused: Vec<(&str, String)> = vec![
        ("alg none", format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), signed.split_once('.').unwrap().1)),
        ("alg nOnE", forged(&key, &json!({"alg": "nOnE"}), &plain)),
        ("alg HS256", forged(&key, &json!({"alg": "HS256"}), &plain)),
        ("r = s = 0", format!("{signed}.{empty}")),
        ("no signature", format!("{signed}.")),
        ("a stranger's key", forged(&stranger, &es256, &plain)),
        (
            "a stranger's key brought along",
            forged(&stranger, &json!({"alg": "ES256", "jwk": stranger.verifying_key().to_jwk()}), &plain),
        ),
        ("an unknown key", forged(&key, &json!({"alg": "ES256", "kid": "../../etc/passwd"}), &plain)),
        ("critical extensions", forged(&key, &json!({"alg": "ES256", "crit": ["b64"]}), &plain)),
        ("no audience", forged(&key, &es256, &with("/aud", json!([])))),
        ("another audience", forged(&key, &es256, &with("/aud", json!(["other"])))),
        ("expired", forged(&key, &es256, &with("/exp", json!(now().as_second() - 1)))),
        ("text for a time", forged(&key, &es256, &with("/exp", json!("9999999999")))),
        ("a fraction for a time", forged(&key, &es256, &with("/exp", json!(9_999_999_999.5)))),
        ("a negative time", forged(&key, &es256, &with("/exp", json!(-1)))),
        ("a time beyond 64 bits", forged(&key, &es256, &with("/exp", json!(1e30)))),
        ("not valid for long", forged(&key, &es256, &with("/nbf", json!(at(360).as_second())))),
        ("another subject", forged(&key, &es256, &with("/sub", json!("system:serviceaccount:shop:admin")))),
        ("a subject with more colons", forged(&key, &es256, &with("/kubernetes.io/namespace", json!("shop:web")))),
        ("another uid", forged(&key, &es256, &with("/kubernetes.io/serviceaccount/uid", json!("6")))),
        ("no claims of ours", forged(&key, &es256, &with("/kubernetes.io", json!(null)))),
        ("duplicate claims", forged(&key, &es256, &plain.replacen('{', "{\"exp\":99999999999,", 1))),
        (
            "two objects",
            forged(
                &key,
                &es256,
                &with(
                    "/kubernetes.io",
                    json!({
            "namespace": "shop", "serviceaccount": {"name": "web", "uid": "7"},
            "pod": {"name": "p", "uid": "1"}, "secret": {"name": "s", "uid": "2"}}),
                ),
            ),
        ),
    ];
    for (why, token) in &refused {
        let got = verify(&tokens, token, now()).await;
        assert!(got.is_err(), "{why}: {got:?}");
        // What was refused once is not remembered as good.
        assert!(verify(&tokens, token, now()).await.is_err(), "{why}");
    }
    for (why, token) in [
        ("another issuer", forged(&stranger, &es256, &with("/iss", json!("https://member.example")))),
        ("no issuer", forged(&key, &es256, "{}")),
        ("no token", "a.b.c".to_owned()),
        ("four parts", format!("{good}.x")),
        ("JSON serialization", r#"{"payload":"e30","signatures":[]}"#.to_owned()),
        ("endless", "a".repeat(1 << 20)),
        ("empty", String::new()),
    ] {
        assert_eq!(verify(&tokens, &token, now()).await, Ok(None), "{why}");
    }
}

#[tokio::test]
async fn keys_are_kept_and_can_retire() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sa.key");
    let old = ServiceAccountKey::open(&path).unwrap();
    let public = old.verifying_key().clone();
    let (tokens, _) = server(old);
    let issued = tokens.issue(&spec("7", None), now()).unwrap();
    let (again, _) = server(ServiceAccountKey::open(&path).unwrap());
    assert!(verify(&again, issued.token.expose(), now()).await.unwrap().is_some());
    let (rotated, _) = server(ServiceAccountKey::generate().unwrap());
    assert!(verify(&rotated, issued.token.expose(), now()).await.is_err());
    let rotated = rotated.with_retired_key(public.clone());
    assert!(verify(&rotated, issued.token.expose(), now()).await.unwrap().is_some());
    let set = rotated.key_set();
    assert_eq!(set["keys"].as_array().unwrap().len(), 2);
    assert_eq!(set["keys"][1]["kid"], public.id());
    let document = rotated.discovery_document("https://hub.example/openid/v1/jwks").unwrap();
    assert_eq!(document["issuer"], ISSUER);
    std::fs::write(&path, "junk").unwrap();
    assert!(matches!(ServiceAccountKey::open(&path), Err(TokenError::Key)));
    assert!(VerifyingKey::from_pem("junk").is_err());
}
