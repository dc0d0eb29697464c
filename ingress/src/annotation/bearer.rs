//! Annotations about tokens that clients show; all of them ours.

use std::collections::BTreeSet;

use http::HeaderName;

use super::own_secret;
use super::read::Reader;
use super::snippet::told_name;

/// Seconds by which clocks may differ where the Ingress does not say.
const LEEWAY: u32 = 60;
const LEEWAY_MAX: u32 = 300;
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
            if reader.text(name).is_some() {
                reader.wrong(name, "followed without auth-jwt-secret");
            }
        }
        return None;
    };
    let secret = own_secret(named, namespace);
    if secret.is_none() {
        reader.wrong("auth-jwt-secret", "the name of a Secret in the namespace of the Ingress");
    }
    let sound = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    let issuer = reader.text("auth-jwt-issuer").filter(|issuer| sound(issuer));
    if issuer.is_none() {
        reader.wrong("auth-jwt-issuer", "the issuer of the tokens");
    }
    let audiences = reader.text("auth-jwt-audiences").unwrap_or_default().split(',').map(str::trim);
    let audiences: BTreeSet<String> = audiences.filter(|one| !one.is_empty()).map(str::to_owned).collect();
    if audiences.is_empty() || !audiences.iter().all(|one| sound(one)) {
        reader.wrong("auth-jwt-audiences", "a list of audiences");
        return None;
    }
    let leeway = reader.number("auth-jwt-leeway", 0).unwrap_or(LEEWAY);
    if leeway > LEEWAY_MAX {
        reader.wrong("auth-jwt-leeway", "a number of seconds up to 300");
    }
    let headers = reader.parsed_with("auth-jwt-headers", |text| {
        let pair = |pair: &str| {
            let (name, claim) = pair.split_once('=').ok_or(format!("{pair:?} is not FIELD=CLAIM"))?;
            Ok::<_, String>((told_name(name)?, claim.trim().to_owned()))
        };
        text.split(',').map(str::trim).filter(|pair| !pair.is_empty()).map(pair).collect::<Result<Vec<_>, _>>()
    });
    if headers.is_none() && reader.text("auth-jwt-headers").is_some() {
        reader.close();
    }
    Some(BearerWish {
        secret: secret?.to_owned(),
        issuer: issuer?.to_owned(),
        audiences,
        leeway: leeway.min(LEEWAY_MAX),
        headers: headers.unwrap_or_default(),
    })
}
