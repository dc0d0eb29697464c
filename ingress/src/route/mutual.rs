//! Hosts that ask clients for certificates: whom they believe, whom they let in, and what endpoints are told of it.
//!
//! Pure: the time is passed in. Knows certificates; handshakes are `tls`, requests are `filter`.

mod subject;

use std::fmt;
use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use regex::{Regex, RegexBuilder};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, TrustAnchor, UnixTime};
use rustls::{DistinguishedName, ServerConfig};
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage, OwnedCertRevocationList, RevocationCheckDepth,
    RevocationOptionsBuilder, UnknownStatusPolicy, VerifiedPath, anchor_from_trusted_cert,
};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::x509::{X509Name, X509Version};

use crate::annotation::MutualWish;
use crate::refusal::Refusal;
use crate::snapshot::UserList;

/// What endpoints are told; clients cannot set them.
pub const FIELDS: [HeaderName; 4] = [CERT, VERIFY, SUBJECT, ISSUER];

const CERT: HeaderName = HeaderName::from_static("ssl-client-cert");
const VERIFY: HeaderName = HeaderName::from_static("ssl-client-verify");
const SUBJECT: HeaderName = HeaderName::from_static("ssl-client-subject-dn");
const ISSUER: HeaderName = HeaderName::from_static("ssl-client-issuer-dn");

/// The word for a certificate of an authority that is believed.
const SUCCESS: &str = "SUCCESS";
/// Bytes of a compiled pattern.
pub const PATTERN_MAX: usize = 1 << 20;
/// Longer chains are refused: each certificate costs a check of a signature.
const CHAIN_MAX: usize = 16;
/// Bytes of a certificate that endpoints get to see whole.
const CERTIFICATE_MAX: usize = 16 * 1024;
/// As nginx escapes components of URIs.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

const CLOSED: Refusal = Refusal {
    status: StatusCode::SERVICE_UNAVAILABLE,
    reason: "whose certificates are believed on this host is not known",
    close: false,
};
const MISSING: Refusal = bad("No required SSL certificate was sent");
const WRONG: Refusal = bad("The SSL certificate error");
const OLD: Refusal = bad("The SSL certificate error: it is of X.509 version 1, version 3 is wanted");
const STRANGER: Refusal =
    Refusal { status: StatusCode::FORBIDDEN, reason: "client certificate unauthorized", close: false };

/// The connection is of no more use: its client cannot show another certificate over it.
const fn bad(reason: &'static str) -> Refusal {
    Refusal { status: StatusCode::BAD_REQUEST, reason, close: true }
}

/// Who has to show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Demand {
    /// Nobody is asked.
    Never,
    Always,
    /// One that is shown has to be good.
    Optional,
    /// The same, whoever issued it.
    OptionalOfAnybody,
}

/// The rules of one Ingress for the hosts that it has, and those whom it believes.
pub struct Mutual {
    wish: MutualWish,
    authorities: Result<Authorities, AuthoritiesError>,
    pattern: Option<Regex>,
    source: Option<Arc<UserList>>,
    /// How handshakes are made for it, by whoever makes the first; sessions of other rules are not resumed then.
    pub handshakes: OnceLock<Arc<ServerConfig>>,
}

struct Authorities {
    anchors: Vec<Anchor>,
    revoked: Vec<CertRevocationList<'static>>,
}

struct Anchor {
    trust: TrustAnchor<'static>,
    /// Seconds since 1970.
    valid: (i64, i64),
}

/// Why a Secret names no authorities.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthoritiesError {
    #[error("it has no ca.crt")]
    Missing,
    #[error("ca.crt holds something else than PEM certificates of authorities")]
    Certificate,
    #[error("ca.crl holds something else than PEM revocation lists")]
    Revocation,
    #[error("auth-tls-match-cn is too large")]
    Pattern,
}

/// What came of a certificate, or of its absence.
#[derive(Debug)]
pub struct Verdict {
    /// Why requests go no further.
    pub refusal: Option<Refusal>,
    /// For endpoints.
    pub fields: Vec<(HeaderName, HeaderValue)>,
    /// The first CN of one that was issued by who is believed.
    pub user: Option<Box<str>>,
    /// Seconds since 1970, from which on it does not hold any more.
    pub until: u64,
}

impl fmt::Debug for Mutual {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutual").field("wish", &self.wish).finish_non_exhaustive()
    }
}

impl Mutual {
    /// The rules of a wish; they let nobody in where what the Secret holds is no use.
    #[must_use]
    pub fn new(wish: MutualWish, source: Option<Arc<UserList>>) -> Self {
        let authorities = source.as_ref().map_or(Err(AuthoritiesError::Missing), |list| authorities(list));
        let pattern = wish.name.as_ref().and_then(|name| name.strip_prefix("CN="));
        let pattern = pattern.map(|pattern| {
            let whole = format!("^(?:{pattern})");
            RegexBuilder::new(&whole).size_limit(PATTERN_MAX * 2).dfa_size_limit(PATTERN_MAX * 2).build()
        });
        // A pattern that cannot be built any more is one that nobody matches.
        let (pattern, authorities) = match pattern {
            None => (None, authorities),
            Some(Ok(pattern)) => (Some(pattern), authorities),
            Some(Err(_)) => (None, Err(AuthoritiesError::Pattern)),
        };
        Self { wish, authorities, pattern, source, handshakes: OnceLock::new() }
    }

    /// Why nobody is let in.
    #[must_use]
    pub fn fault(&self) -> Option<&AuthoritiesError> {
        self.authorities.as_ref().err()
    }

    /// Whether it was made of this.
    #[must_use]
    pub fn is_of(&self, source: Option<&Arc<UserList>>) -> bool {
        self.source.as_ref() == source
    }

    /// Whether it says the same as `wish`.
    #[must_use]
    pub fn is_wished(&self, wish: &MutualWish) -> bool {
        self.wish == *wish
    }

    /// Whether clients are asked in the handshake.
    #[must_use]
    pub fn asks(&self) -> bool {
        self.authorities.is_ok() && self.wish.demand != Demand::Never
    }

    /// Where those are sent who are refused for their certificate.
    #[must_use]
    pub fn page(&self) -> Option<&HeaderValue> {
        self.wish.page.as_ref()
    }

    /// Names of the authorities, from which clients choose what they show.
    #[must_use]
    pub fn hints(&self) -> Vec<DistinguishedName> {
        let anchors = self.authorities.iter().flat_map(|authorities| &authorities.anchors);
        anchors.map(|anchor| DistinguishedName::in_sequence(anchor.trust.subject.as_ref())).collect()
    }

    /// What comes of a chain, the client's own certificate first; an empty one is none.
    #[must_use]
    pub fn judge(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Verdict {
        let refused = |refusal| Verdict { refusal: Some(refusal), fields: Vec::new(), user: None, until: u64::MAX };
        let Ok(authorities) = &self.authorities else { return refused(CLOSED) };
        let shown = chain.first().filter(|_| self.wish.demand != Demand::Never);
        let Some(own) = shown else {
            let refusal = match (self.wish.demand, &self.pattern) {
                (Demand::Always, _) => Some(MISSING),
                (_, Some(_)) => Some(STRANGER),
                (_, None) => None,
            };
            let fields = vec![(VERIFY, HeaderValue::from_static("NONE"))];
            return Verdict { refusal, fields, user: None, until: u64::MAX };
        };
        let Ok((_, certificate)) = X509Certificate::from_der(own) else { return refused(WRONG) };
        if certificate.version() == X509Version::V1 {
            return refused(OLD);
        }
        let word = match self.verify(authorities, chain, now) {
            Ok(()) => SUCCESS,
            Err(error) if self.wish.demand == Demand::OptionalOfAnybody => {
                match stranger(&error, &certificate, chain) {
                    Some(word) => word,
                    None => return refused(WRONG),
                }
            }
            Err(_) => return refused(WRONG),
        };
        let Some(fields) = self.fields(word, own, &certificate) else { return refused(WRONG) };
        let names = subject::common_names(certificate.subject());
        let named = self.pattern.as_ref().is_none_or(|pattern| names.iter().any(|name| pattern.is_match(name)));
        let user = names.into_iter().next().filter(|name| word == SUCCESS && !name.is_empty()).map(Into::into);
        let until = u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or(0).saturating_add(1);
        Verdict { refusal: (!named).then_some(STRANGER), fields, user, until }
    }

    fn verify(
        &self,
        authorities: &Authorities,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), webpki::Error> {
        let (own, between) = chain.split_first().ok_or(webpki::Error::UnknownIssuer)?;
        if chain.len() > CHAIN_MAX {
            return Err(webpki::Error::MaximumPathDepthExceeded);
        }
        let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let valid = |anchor: &&Anchor| (anchor.valid.0..=anchor.valid.1).contains(&seconds);
        let anchors: Vec<_> = authorities.anchors.iter().filter(valid).map(|anchor| anchor.trust.clone()).collect();
        let lists: Vec<&CertRevocationList<'_>> = authorities.revoked.iter().collect();
        // As OpenSSL has it: with a list there has to be one for everybody, and none that is over.
        let revocation = RevocationOptionsBuilder::new(&lists).ok().map(|options| {
            options
                .with_depth(RevocationCheckDepth::Chain)
                .with_status_policy(UnknownStatusPolicy::Deny)
                .with_expiration_policy(ExpirationPolicy::Enforce)
                .build()
        });
        let depth = usize::try_from(self.wish.depth).unwrap_or(usize::MAX);
        let short = |path: &VerifiedPath<'_>| match path.intermediate_certificates().count() <= depth {
            true => Ok(()),
            // Whoever stands beyond is not looked at.
            false => Err(webpki::Error::UnknownIssuer),
        };
        let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms.all;
        let own = EndEntityCert::try_from(own)?;
        own.verify_for_usage(algorithms, &anchors, between, now, KeyUsage::client_auth(), revocation, Some(&short))?;
        Ok(())
    }

    fn fields(
        &self,
        word: &'static str,
        own: &CertificateDer<'_>,
        certificate: &X509Certificate<'_>,
    ) -> Option<Vec<(HeaderName, HeaderValue)>> {
        let name = |name: &X509Name<'_>| HeaderValue::from_str(&subject::text(name)?).ok();
        let mut fields = vec![
            (VERIFY, HeaderValue::from_static(word)),
            (SUBJECT, name(certificate.subject())?),
            (ISSUER, name(certificate.issuer())?),
        ];
        if self.wish.pass {
            let whole = (own.len() <= CERTIFICATE_MAX).then(|| pem(own))?;
            fields.push((CERT, HeaderValue::from_str(&utf8_percent_encode(&whole, ESCAPED).to_string()).ok()?));
        }
        // An empty field is none, as with nginx.
        fields.retain(|(_, value)| !value.is_empty());
        Some(fields)
    }
}

/// The word for a certificate that nobody known has issued, but that has no other fault.
fn stranger(
    error: &webpki::Error,
    certificate: &X509Certificate<'_>,
    chain: &[CertificateDer<'_>],
) -> Option<&'static str> {
    let own = certificate.subject().as_raw() == certificate.issuer().as_raw();
    match error {
        webpki::Error::UnknownIssuer | webpki::Error::CaUsedAsEndEntity if own => {
            Some("FAILED:self-signed certificate")
        }
        webpki::Error::UnknownIssuer if chain.len() > 1 => Some("FAILED:unable to get local issuer certificate"),
        webpki::Error::UnknownIssuer => Some("FAILED:unable to verify the first certificate"),
        _ => None,
    }
}

fn authorities(list: &UserList) -> Result<Authorities, AuthoritiesError> {
    let pem = list.0.get("ca.crt").ok_or(AuthoritiesError::Missing)?;
    let mut anchors = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|_| AuthoritiesError::Certificate)?;
        let (_, parsed) = X509Certificate::from_der(&certificate).map_err(|_| AuthoritiesError::Certificate)?;
        let valid = (parsed.validity().not_before.timestamp(), parsed.validity().not_after.timestamp());
        let trust = anchor_from_trusted_cert(&certificate).map_err(|_| AuthoritiesError::Certificate)?;
        anchors.push(Anchor { trust: trust.to_owned(), valid });
    }
    if anchors.is_empty() {
        return Err(AuthoritiesError::Certificate);
    }
    let mut revoked = Vec::new();
    if let Some(pem) = list.0.get("ca.crl") {
        for revocations in CertificateRevocationListDer::pem_slice_iter(pem) {
            let revocations = revocations.map_err(|_| AuthoritiesError::Revocation)?;
            let owned = OwnedCertRevocationList::from_der(&revocations).map_err(|_| AuthoritiesError::Revocation)?;
            revoked.push(CertRevocationList::from(owned));
        }
        if revoked.is_empty() {
            return Err(AuthoritiesError::Revocation);
        }
    }
    Ok(Authorities { anchors, revoked })
}

/// As OpenSSL writes it.
fn pem(certificate: &[u8]) -> String {
    let encoded = STANDARD.encode(certificate);
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    for (number, sign) in encoded.chars().enumerate() {
        if number > 0 && number % 64 == 0 {
            text.push('\n');
        }
        text.push(sign);
    }
    text + "\n-----END CERTIFICATE-----\n"
}

#[cfg(test)]
mod tests;
