//! TLS towards endpoints, as the annotations `proxy-ssl-*` have it.
//!
//! Source: ingress-nginx `internal/ingress/annotations/proxyssl`.

use super::own_secret;
use super::read::Reader;
use crate::route::TlsVersions;

/// What an Ingress says about TLS towards its endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsWish {
    /// With `tls.crt` and `tls.key` to show, and `ca.crt` to believe; in the namespace of the Ingress.
    pub secret: Option<String>,
    pub verify: bool,
    /// The Service's own name where there is none.
    pub name: Option<String>,
    pub sni: bool,
    pub versions: TlsVersions,
}

impl Default for TlsWish {
    fn default() -> Self {
        Self { secret: None, verify: false, name: None, sni: true, versions: TlsVersions::default() }
    }
}

pub(super) fn tls(reader: &mut Reader<'_>, namespace: &str) -> TlsWish {
    let switch = [("on", true), ("off", false)];
    let named = reader.text("proxy-ssl-secret");
    let secret = named.and_then(|named| own_secret(named, namespace)).map(str::to_owned);
    if named.is_some() && secret.is_none() {
        reader.wrong("proxy-ssl-secret", "the name of a Secret in the namespace of the Ingress");
    }
    let wish = TlsWish {
        secret,
        verify: reader.one_of("proxy-ssl-verify", &switch).unwrap_or(false),
        name: reader.token("proxy-ssl-name").map(|name| name.to_ascii_lowercase()),
        sni: reader.one_of("proxy-ssl-server-name", &switch).unwrap_or(true),
        versions: reader.parsed("proxy-ssl-protocols", versions).unwrap_or_default(),
    };
    if wish.verify && wish.secret.is_none() {
        reader.wrong("proxy-ssl-verify", "possible without proxy-ssl-secret and its ca.crt");
    }
    wish
}

/// Older ones than 1.2 are passed over, if a newer one is there, too.
pub(super) fn versions(listed: &str) -> Option<TlsVersions> {
    let names = |version: &str| listed.split_ascii_whitespace().any(|word| word == version);
    match (names("TLSv1.2"), names("TLSv1.3")) {
        (true, true) => Some(TlsVersions::All),
        (true, false) => Some(TlsVersions::Only12),
        (false, true) => Some(TlsVersions::Only13),
        (false, false) => None,
    }
}
