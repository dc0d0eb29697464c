//! Tables: keys that are read, tokens that are believed, and every way not to be.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair,
};
use serde_json::{Value, json};

use super::{JwtError, KeySet, KeySetError, Verifier};

/// Source: RFC 7515 appendix A.2.1: a key, and a token that it has signed with RS256.
const RFC_N: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
const RFC_TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
const NOW: u64 = 1_893_456_000;

enum Signer {
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Signer {
    fn ec(algorithm: &'static EcdsaSigningAlgorithm) -> Self {
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("a key");
        Self::Ec(EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random).expect("a key"))
    }

    fn ed() -> Self {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
        Self::Ed(Ed25519KeyPair::from_pkcs8(key.as_ref()).expect("a key"))
    }

    fn jwk(&self, more: &Value) -> Value {
        let mut jwk = match self {
            Self::Ec(pair) => {
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                let curve = if x.len() == 32 { "P-256" } else { "P-384" };
                json!({"kty": "EC", "crv": curve, "x": encoded(x), "y": encoded(y)})
            }
            Self::Ed(pair) => json!({"kty": "OKP", "crv": "Ed25519", "x": encoded(pair.public_key().as_ref())}),
        };
        for (key, value) in more.as_object().expect("an object") {
            jwk[key] = value.clone();
        }
        jwk
    }

    fn token(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", encoded(header.to_string().as_bytes()), encoded(claims.to_string().as_bytes()));
        let signature = match self {
            Self::Ec(pair) => pair.sign(&SystemRandom::new(), signed.as_bytes()).expect("signed").as_ref().to_vec(),
            Self::Ed(pair) => pair.sign(signed.as_bytes()).as_ref().to_vec(),
        };
        format!("{signed}.{}", encoded(&signature))
    }
}

fn verifier(keys: &[Value]) -> Verifier {
    Verifier {
        issuer: "https://issuer.example".into(),
        audiences: BTreeSet::from(["shop".to_owned(), "store".to_owned()]),
        keys: KeySet::read(json!({ "keys": keys }).to_string().as_bytes()).expect("keys"),
        leeway: 60,
    }
}

fn good() -> Value {
    json!({"iss": "https://issuer.example", "aud": "shop", "exp": NOW + 100, "sub": "ann"})
}

/// Ingress: 83
#[test]
fn each_algorithm_verifies_with_its_own_kind_of_key_and_no_other() {
    let signers = [
        ("ES256", Signer::ec(&ECDSA_P256_SHA256_FIXED_SIGNING)),
        ("ES384", Signer::ec(&ECDSA_P384_SHA384_FIXED_SIGNING)),
        ("EdDSA", Signer::ed()),
    ];
    for (name, signer) in &signers {
        let verifier = verifier(&[signer.jwk(&json!({}))]);
        let claims = verifier.verify(&signer.token(&json!({"alg": name}), &good()), NOW).expect("good");
        assert_eq!(claims["sub"], "ann");
        for (other, wanted) in [
            ("none", JwtError::Algorithm),
            ("None", JwtError::Algorithm),
            ("HS256", JwtError::Algorithm),
            ("RS256", JwtError::Key),
            (if *name == "ES256" { "ES384" } else { "ES256" }, JwtError::Key),
        ] {
            assert_eq!(
                verifier.verify(&signer.token(&json!({"alg": other}), &good()), NOW),
                Err(wanted),
                "{name} {other}"
            );
        }
    }
    let rsa = KeySet::read(json!({"keys": [{"kty": "RSA", "n": RFC_N, "e": "AQAB"}]}).to_string().as_bytes());
    let rsa = Verifier { issuer: "joe".into(), audiences: BTreeSet::new(), keys: rsa.expect("a key"), leeway: 0 };
    assert_eq!(rsa.verify(RFC_TOKEN, 0), Err(JwtError::Audience), "its signature is good, and it is for nobody");
    let broken = RFC_TOKEN.replace(".cC4h", ".dC4h");
    assert_eq!(rsa.verify(&broken, 0), Err(JwtError::Signature));
    let as_pss = RFC_TOKEN.replace("eyJhbGciOiJSUzI1NiJ9", &encoded(b"{\"alg\":\"PS256\"}"));
    assert_eq!(rsa.verify(&as_pss, 0), Err(JwtError::Signature));
}

/// Ingress: 83
#[test]
fn what_a_token_says_is_checked_after_its_signature() {
    let (signer, other) = (Signer::ed(), Signer::ed());
    let verifier = verifier(&[signer.jwk(&json!({"kid": "a"})), other.jwk(&json!({"kid": "b"}))]);
    let with = |change: Value| {
        let mut claims = good();
        for (key, value) in change.as_object().expect("an object") {
            claims[key] = value.clone();
        }
        claims
    };
    for (claims, wanted) in [
        (good(), None),
        (with(json!({"aud": ["other", "store"]})), None),
        (with(json!({"aud": ["other"]})), Some(JwtError::Audience)),
        (with(json!({"aud": "shopping"})), Some(JwtError::Audience)),
        (with(json!({"aud": null})), Some(JwtError::Audience)),
        (with(json!({"iss": "https://issuer.example/"})), Some(JwtError::Issuer)),
        (with(json!({"iss": ["https://issuer.example"]})), Some(JwtError::Issuer)),
        (with(json!({"exp": NOW - 59})), None),
        (with(json!({"exp": NOW - 60})), Some(JwtError::Expired)),
        (with(json!({"exp": "tomorrow"})), Some(JwtError::Malformed)),
        (with(json!({"exp": null})), Some(JwtError::Malformed)),
        (with(json!({"exp": NOW as f64 + 0.5})), None),
        (with(json!({"nbf": NOW + 60})), None),
        (with(json!({"nbf": NOW + 61})), Some(JwtError::Early)),
        (with(json!({"nbf": "now"})), Some(JwtError::Malformed)),
    ] {
        let told = verifier.verify(&signer.token(&json!({"alg": "EdDSA", "kid": "a"}), &claims), NOW);
        assert_eq!(told.err(), wanted, "{claims}");
    }
    for (header, wanted) in [
        (json!({"alg": "EdDSA"}), None),
        (json!({"alg": "EdDSA", "kid": "b"}), Some(JwtError::Signature)),
        (json!({"alg": "EdDSA", "kid": "c"}), Some(JwtError::Key)),
        (json!({"alg": "EdDSA", "crit": ["b64"], "b64": false}), Some(JwtError::Algorithm)),
        (json!({"alg": "EdDSA", "jwk": other.jwk(&json!({}))}), None),
    ] {
        assert_eq!(verifier.verify(&signer.token(&header, &good()), NOW).err(), wanted, "{header}");
    }
    let token = signer.token(&json!({"alg": "EdDSA"}), &good());
    let (signed, _) = token.rsplit_once('.').expect("three parts");
    let long = "a".repeat(20_000);
    for odd in
        ["", ".", "..", "a.b.c", signed, &format!("{token}.x"), &format!("{token}="), &format!(" {token}"), &long]
    {
        assert_eq!(verifier.verify(odd, NOW), Err(JwtError::Malformed), "{odd}");
    }
    assert_eq!(verifier.verify(&format!("{signed}."), NOW), Err(JwtError::Signature), "no signature at all");
}

/// Ingress: 83
#[test]
fn keys_that_are_for_something_else_are_passed_over() {
    let signer = Signer::ec(&ECDSA_P256_SHA256_FIXED_SIGNING);
    for (jwk, used) in [
        (signer.jwk(&json!({})), true),
        (signer.jwk(&json!({"use": "sig", "alg": "ES256", "key_ops": ["verify"]})), true),
        (signer.jwk(&json!({"use": "enc"})), false),
        (signer.jwk(&json!({"key_ops": ["encrypt"]})), false),
        (signer.jwk(&json!({"alg": "HS256"})), false),
        (signer.jwk(&json!({"crv": "secp256k1"})), false),
        (signer.jwk(&json!({"x": "AAAA"})), false),
        (json!({"kty": "oct", "k": "c2VjcmV0"}), false),
        (json!("key"), false),
    ] {
        let read = KeySet::read(json!({"keys": [jwk]}).to_string().as_bytes());
        assert_eq!(read.is_ok(), used, "{jwk}");
    }
    let (many, large) = (vec![signer.jwk(&json!({})); 65], " ".repeat(300_000));
    for (text, wanted) in [
        ("nonsense".to_owned(), KeySetError::Malformed),
        ("[]".to_owned(), KeySetError::Malformed),
        (json!({"keys": []}).to_string(), KeySetError::Empty),
        (json!({"keys": many}).to_string(), KeySetError::Many),
        (large, KeySetError::Large),
    ] {
        assert_eq!(KeySet::read(text.as_bytes()), Err(wanted));
    }
}
