//! Annotations about tokens that clients show; all of them ours.

use std::collections::BTreeSet;

use http::HeaderName;

use super::own_secret;
use super::read::Reader;
use super::snippet::told_name;

/// Seconds by which clocks may differ where the Ingress does not say.
const LEEWAY: u32 = 60;
/// What is said about tokens beside the Secret.
const OTHERS: [&str; 4] = ["auth-jwt-audiences", "auth-jwt-headers", "auth-jwt-issuer", "auth-jwt-leeway"];

/// Whose tokens may come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BearerWish {
    /// With `jwks.json`, in the namespace of the Ingress.
    pub secret: String,
    pub issuer: String,
    pub audiences: BTreeSet<String>,
    pub leeway: u32,
    /// Fields that endpoints get, and the claims that are in them; clients cannot set them.
    pub headers: Vec<(HeaderName, String)>,
}

pub(super) fn wish(reader: &mut Reader<'_>, namespace: &str) -> Option<BearerWish> {
    let Some(named) = reader.text("auth-jwt-secret") else {
        for name in OTHERS {
            if reader.given("auth-jwt-secret").is_none() && reader.text(name).is_some() {
                reader.wrong(name, "followed without auth-jwt-secret");
            }
        }
        return None;
    };
    let secret = own_secret(named, namespace);
    if secret.is_none() {
        reader.wrong("auth-jwt-secret", "the name of a Secret in the namespace of the Ingress");
    }
    let issuer = reader.text("auth-jwt-issuer");
    if issuer.is_none() {
        reader.wrong("auth-jwt-issuer", "the issuer of the tokens");
    }
    let audiences = reader.parsed("auth-jwt-audiences", audiences);
    if audiences.is_none() {
        reader.wrong("auth-jwt-audiences", "a list of audiences");
    }
    let leeway = reader.number("auth-jwt-leeway").unwrap_or(LEEWAY);
    let headers = reader.parsed("auth-jwt-headers", |text| claims(text).ok());
    Some(BearerWish {
        secret: secret?.to_owned(),
        issuer: issuer?.to_owned(),
        audiences: audiences?,
        leeway,
        headers: headers.unwrap_or_default(),
    })
}

pub(super) fn is_visible(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The audiences of a list, of which there must be one.
pub(super) fn audiences(text: &str) -> Option<BTreeSet<String>> {
    let all = text.split(',').map(str::trim).filter(|one| !one.is_empty()).map(str::to_owned);
    let all: BTreeSet<String> = all.collect();
    (!all.is_empty() && all.iter().all(|one| is_visible(one))).then_some(all)
}

/// What endpoints hear of the connection is the gateway's word, whatever a token says.
const OF_THE_CONNECTION: [&str; 14] = [
    "forwarded",
    "ssl-client-cert",
    "ssl-client-issuer-dn",
    "ssl-client-subject-dn",
    "ssl-client-verify",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-scheme",
    "x-real-ip",
    "x-request-id",
    "x-scheme",
];

/// Fields and the claims that are in them.
pub(super) fn claims(text: &str) -> Result<Vec<(HeaderName, String)>, String> {
    let pair = |pair: &str| {
        let (name, claim) = pair.split_once('=').ok_or(format!("{pair:?} is not FIELD=CLAIM"))?;
        let name = told_name(name)?;
        if OF_THE_CONNECTION.contains(&name.as_str()) {
            return Err(format!("the field {name} is not a token's to set"));
        }
        Ok((name, claim.trim().to_owned()))
    };
    text.split(',').map(str::trim).filter(|pair| !pair.is_empty()).map(pair).collect()
}
