//! Annotations about certificates of clients.
//!
//! Source: ingress-nginx `internal/ingress/annotations/authtls`.

use http::HeaderValue;
use regex::RegexBuilder;

use super::own_secret;
use super::read::Reader;
use crate::route::mutual::{Demand, PATTERN_MAX};

/// Certificates between a client's and an authority where the Ingress does not say.
const DEPTH: u32 = 1;
/// Every annotation that says something about a Secret of authorities.
const OTHERS: [&str; 5] = [
    "auth-tls-error-page",
    "auth-tls-match-cn",
    "auth-tls-pass-certificate-to-upstream",
    "auth-tls-verify-client",
    "auth-tls-verify-depth",
];

/// What an Ingress asks of clients on the hosts that it has.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MutualWish {
    /// With `ca.crt` and perhaps `ca.crl`; in the namespace of the Ingress. None where it cannot be read what is asked.
    pub secret: Option<String>,
    pub demand: Demand,
    /// How many certificates may stand between the client's and an authority.
    pub depth: u32,
    /// Where those are sent whose certificate is not accepted.
    pub page: Option<HeaderValue>,
    /// Endpoints see the whole certificate.
    pub pass: bool,
    /// `CN=` and a pattern.
    pub name: Option<String>,
}

pub(super) fn wish(reader: &mut Reader<'_>, namespace: &str) -> Option<MutualWish> {
    let Some(named) = reader.given("auth-tls-secret") else {
        for name in OTHERS {
            if reader.text(name).is_some() {
                reader.wrong(name, "followed without auth-tls-secret");
            }
        }
        return None;
    };
    let mut secret = own_secret(named, namespace).map(str::to_owned);
    if secret.is_none() {
        reader.wrong("auth-tls-secret", "the name of a Secret in the namespace of the Ingress");
    }
    let words = [
        ("on", Demand::Always),
        ("off", Demand::Never),
        ("optional", Demand::Optional),
        ("optional_no_ca", Demand::OptionalOfAnybody),
    ];
    let demand = reader.one_of("auth-tls-verify-client", &words);
    let pattern = reader.parsed("auth-tls-match-cn", |text| common_name(text).ok());
    if reader.is_odd("auth-tls-match-cn") || reader.is_odd("auth-tls-verify-client") {
        // Nobody knows who may come: the whole host is closed.
        secret = None;
    }
    Some(MutualWish {
        secret,
        demand: demand.unwrap_or(Demand::Always),
        depth: reader.number("auth-tls-verify-depth").filter(|depth| *depth > 0).unwrap_or(DEPTH),
        page: reader.url("auth-tls-error-page"),
        pass: reader.flag("auth-tls-pass-certificate-to-upstream").unwrap_or(false),
        name: pattern,
    })
}

/// `CN=` and a pattern that can be used.
pub(super) fn common_name(text: &str) -> Result<String, String> {
    let pattern = text.strip_prefix("CN=").ok_or("it does not begin with CN=")?;
    let built = RegexBuilder::new(pattern).size_limit(PATTERN_MAX).dfa_size_limit(PATTERN_MAX).build();
    built.map(|_| text.to_owned()).map_err(|error| error.to_string())
}
