//! Client certificates as a method of authentication: verified against the CA bundle for each request.
//!
//! A connection remembers its last verdict, since the chain cannot change while it is open; time and bundle can.

use super::X509Error;
use super::identity;
use crate::authenticate::{AuthenticationError, AuthenticationRequest, Authenticator};
use crate::user::UserInfo;
use arc_swap::{ArcSwap, ArcSwapOption};
use async_trait::async_trait;
use jiff::Timestamp;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

/// Longer chains are refused: each certificate costs a signature check.
const MAX_CHAIN: usize = 8;

/// What a client presented in the handshake, shared by all requests of the connection.
pub struct ClientCertificate {
    chain: Vec<CertificateDer<'static>>,
    verdict: ArcSwapOption<Verdict>,
}

/// Authenticates by client certificate.
pub struct ClientCertificates {
    bundle: ArcSwap<Bundle>,
}

/// The authorities that are trusted to name users.
struct Bundle {
    anchors: Vec<Anchor>,
}

struct Anchor {
    trust: TrustAnchor<'static>,
    window: Window,
}

/// Seconds since 1970, both ends included.
#[derive(Clone, Copy)]
struct Window {
    from: i64,
    until: i64,
}

/// A chain that was good under one bundle, and from when to when it stays so.
struct Verdict {
    bundle: Arc<Bundle>,
    window: Window,
    user: Option<Arc<UserInfo>>,
}

impl ClientCertificate {
    /// The chain that rustls says the peer presented, leaf first; `None` when there is none.
    pub fn new(chain: Vec<CertificateDer<'static>>) -> Option<Self> {
        (!chain.is_empty()).then(|| Self { chain, verdict: ArcSwapOption::empty() })
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientCertificate({} in chain)", self.chain.len())
    }
}

impl ClientCertificates {
    /// Trusts the authorities in `bundle_pem`.
    ///
    /// # Errors
    /// [`X509Error`] when the text holds no certificate, or one that cannot be read.
    pub fn new(bundle_pem: &str) -> Result<Self, X509Error> {
        Ok(Self { bundle: ArcSwap::from_pointee(Bundle::parse(bundle_pem)?) })
    }

    /// Trusts another bundle from the next request on, also on open connections.
    ///
    /// # Errors
    /// As [`ClientCertificates::new`]; the old bundle stays in force.
    pub fn reload(&self, bundle_pem: &str) -> Result<(), X509Error> {
        self.bundle.store(Arc::new(Bundle::parse(bundle_pem)?));
        Ok(())
    }

    fn user(&self, certificate: &ClientCertificate, now: Timestamp) -> Result<Option<Arc<UserInfo>>, String> {
        let bundle = self.bundle.load();
        let second = now.as_second();
        if let Some(verdict) = &*certificate.verdict.load()
            && Arc::ptr_eq(&verdict.bundle, &bundle)
            && verdict.window.holds(second)
        {
            return Ok(verdict.user.clone());
        }
        let (user, window) = bundle.verify(&certificate.chain, second)?;
        let user = user.map(Arc::new);
        let verdict = Verdict { bundle: Arc::clone(&bundle), window, user: user.clone() };
        certificate.verdict.store(Some(Arc::new(verdict)));
        Ok(user)
    }
}

#[async_trait]
impl Authenticator for ClientCertificates {
    async fn authenticate(
        &self,
        request: &AuthenticationRequest<'_>,
    ) -> Result<Option<Arc<UserInfo>>, AuthenticationError> {
        match &request.credential.certificate {
            None => Ok(None),
            Some(certificate) => self.user(certificate, request.now).map_err(AuthenticationError::Certificate),
        }
    }
}

impl Bundle {
    fn parse(pem: &str) -> Result<Self, X509Error> {
        let mut anchors = Vec::new();
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let certificate = certificate.map_err(|error| X509Error::Pem(error.to_string()))?;
            let trust = anchor_from_trusted_cert(&certificate)
                .map_err(|error| X509Error::Malformed(error.to_string()))?
                .to_owned();
            let window = Window::of(&certificate).map_err(X509Error::Malformed)?;
            anchors.push(Anchor { trust, window });
        }
        if anchors.is_empty() { Err(X509Error::NoCertificate) } else { Ok(Self { anchors }) }
    }

    /// The user of a chain, and from when to when this verdict can be repeated without looking again.
    fn verify(&self, chain: &[CertificateDer<'static>], now: i64) -> Result<(Option<UserInfo>, Window), String> {
        let (leaf, intermediates) = chain.split_first().ok_or("the chain is empty")?;
        if chain.len() > MAX_CHAIN {
            return Err(format!("the chain has more than {MAX_CHAIN} certificates"));
        }
        let valid: Vec<&Anchor> = self.anchors.iter().filter(|a| a.window.holds(now)).collect();
        let trusted: Vec<TrustAnchor<'_>> = valid.iter().map(|a| a.trust.clone()).collect();
        let seconds = u64::try_from(now).map_err(|_| "the clock is before 1970")?;
        let at = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let end_entity = EndEntityCert::try_from(leaf).map_err(|error| error.to_string())?;
        end_entity
            .verify_for_usage(
                rustls::crypto::ring::default_provider().signature_verification_algorithms.all,
                &trusted,
                intermediates,
                at,
                KeyUsage::client_auth(),
                None,
                None,
            )
            .map_err(|error| error.to_string())?;
        let window = chain
            .iter()
            .map(Window::of)
            .chain(valid.iter().map(|anchor| Ok(anchor.window)))
            .try_fold(Window::ALWAYS, |all, one| one.map(|one| all.intersection(one)))?;
        let (_, parsed) = X509Certificate::from_der(leaf).map_err(|error| error.to_string())?;
        Ok((identity::user(&parsed)?, window))
    }
}

impl Window {
    const ALWAYS: Self = Self { from: i64::MIN, until: i64::MAX };

    fn of(certificate: &CertificateDer<'_>) -> Result<Self, String> {
        let (_, parsed) = X509Certificate::from_der(certificate).map_err(|error| error.to_string())?;
        let validity = parsed.validity();
        Ok(Self { from: validity.not_before.timestamp(), until: validity.not_after.timestamp() })
    }

    fn holds(self, second: i64) -> bool {
        self.from <= second && second <= self.until
    }

    fn intersection(self, other: Self) -> Self {
        Self { from: self.from.max(other.from), until: self.until.min(other.until) }
    }
}
