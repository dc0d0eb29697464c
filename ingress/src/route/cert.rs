//! Certificates by server name: exact, one-label wildcard, then the default; parsed once, kept while their Secret stays the same.
//!
//! Knows PEM and SNI; must not know handshakes.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::snapshot::{Named, TlsSecret};

/// Why a TLS Secret cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertError {
    #[error("tls.crt holds no readable PEM certificate: {0}")]
    Certificate(String),
    #[error("tls.key holds no readable PEM private key")]
    Key,
    #[error("tls.key is of a kind that TLS cannot use")]
    KeyKind,
    #[error("tls.key does not belong to the certificate in tls.crt")]
    Mismatch,
}

/// The certificates of one route table.
#[derive(Default)]
pub struct Certs {
    exact: HashMap<Box<str>, Arc<CertifiedKey>>,
    /// Keyed by what follows `*.`.
    wildcard: HashMap<Box<str>, Arc<CertifiedKey>>,
    parsed: BTreeMap<Named, Parsed>,
}

struct Parsed {
    source: Arc<TlsSecret>,
    certificate: Arc<CertifiedKey>,
}

impl fmt::Debug for Certs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certs").field("names", &self.exact.len()).finish_non_exhaustive()
    }
}

impl Certs {
    /// The certificate for a server name as the client sent it.
    #[must_use]
    pub fn find(&self, server_name: &str) -> Option<&Arc<CertifiedKey>> {
        let lower = server_name.to_ascii_lowercase();
        let name = lower.strip_suffix('.').unwrap_or(&lower);
        let wildcard = || self.wildcard.get(name.split_once('.')?.1);
        self.exact.get(name).or_else(wildcard)
    }

    /// Serves `hosts` with a Secret's certificate; a bad Secret keeps what `before` had parsed from it.
    ///
    /// A host that an older Ingress has claimed stays with that one.
    ///
    /// # Errors
    /// [`CertError`] says what is wrong with the Secret, also when an older certificate goes on in its place.
    pub fn add<'h>(
        &mut self,
        secret: (&Named, &Arc<TlsSecret>),
        hosts: impl Iterator<Item = &'h str>,
        before: Option<&Self>,
    ) -> Result<(), CertError> {
        let (key, source) = secret;
        let kept = self.parsed.get(key).or_else(|| before?.parsed.get(key));
        let same = kept.filter(|kept| kept.source == *source).map(|kept| Ok(kept.certificate.clone()));
        let parsed = same.unwrap_or_else(|| parse(source).map(Arc::new));
        let (certificate, source, fault) = match (parsed, kept) {
            (Ok(certificate), _) => (certificate, source.clone(), None),
            (Err(fault), Some(kept)) => (kept.certificate.clone(), kept.source.clone(), Some(fault)),
            (Err(fault), None) => return Err(fault),
        };
        for host in hosts {
            let (map, name) = match host.strip_prefix("*.") {
                Some(rest) => (&mut self.wildcard, rest),
                None => (&mut self.exact, host),
            };
            map.entry(name.into()).or_insert_with(|| certificate.clone());
        }
        self.parsed.insert(key.clone(), Parsed { source, certificate });
        fault.map_or(Ok(()), Err)
    }
}

/// Reads a Secret's chain and key and checks that they belong together.
///
/// # Errors
/// [`CertError`] names the field.
pub fn parse(secret: &TlsSecret) -> Result<CertifiedKey, CertError> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&secret.certificate)
        .collect::<Result<_, _>>()
        .map_err(|error| CertError::Certificate(error.to_string()))?;
    if chain.is_empty() {
        return Err(CertError::Certificate("it is empty".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_slice(&secret.private_key).map_err(|_| CertError::Key)?;
    let signer = any_supported_type(&key).map_err(|_| CertError::KeyKind)?;
    let certified = CertifiedKey::new(chain, signer);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(certified),
        Err(rustls::Error::InconsistentKeys(_)) => Err(CertError::Mismatch),
        Err(error) => Err(CertError::Certificate(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{CertError, Certs};
    use crate::snapshot::{Named, TlsSecret};

    fn secret(host: &str) -> Arc<TlsSecret> {
        let made = rcgen::generate_simple_self_signed([host.to_owned()]).expect("a certificate");
        Arc::new(TlsSecret {
            certificate: made.cert.pem().into_bytes(),
            private_key: made.signing_key.serialize_pem().into_bytes(),
        })
    }

    #[test]
    fn exact_beats_wildcard_and_a_wildcard_is_one_label() {
        let mut certs = Certs::default();
        let (one, two) = (secret("a.example.com"), secret("*.example.com"));
        certs.add((&Named::new("n", "one"), &one), ["a.example.com"].into_iter(), None).expect("good");
        certs.add((&Named::new("n", "two"), &two), ["*.example.com", "a.example.com"].into_iter(), None).expect("good");
        let exact = certs.find("A.Example.com.").expect("exact").clone();
        let wild = certs.find("b.example.com").expect("wildcard");
        assert!(!Arc::ptr_eq(&exact, wild));
        assert!(certs.find("c.b.example.com").is_none() && certs.find("example.com").is_none());
    }

    #[test]
    fn a_bad_secret_keeps_the_last_good_one_and_says_so() {
        let key = Named::new("n", "s");
        let mut first = Certs::default();
        first.add((&key, &secret("h")), ["h"].into_iter(), None).expect("good");
        let bad = Arc::new(TlsSecret { certificate: b"nonsense".to_vec(), private_key: Vec::new() });
        let mut second = Certs::default();
        let fault = second.add((&key, &bad), ["h"].into_iter(), Some(&first)).expect_err("bad");
        assert!(matches!(fault, CertError::Certificate(_)));
        assert!(Arc::ptr_eq(second.find("h").expect("kept"), first.find("h").expect("there")));
        let mut fresh = Certs::default();
        fresh.add((&key, &bad), ["h"].into_iter(), None).expect_err("bad");
        assert!(fresh.find("h").is_none());
    }

    #[test]
    fn a_key_of_another_certificate_is_refused_and_never_printed() {
        let (one, two) = (secret("h"), secret("h"));
        let mixed = Arc::new(TlsSecret { certificate: one.certificate.clone(), private_key: two.private_key.clone() });
        assert_eq!(super::parse(&mixed).map(|_| ()), Err(CertError::Mismatch));
        assert!(!format!("{mixed:?}").contains("PRIVATE"));
        let keyless = TlsSecret { private_key: b"x".to_vec(), ..(*one).clone() };
        assert_eq!(super::parse(&keyless).map(|_| ()), Err(CertError::Key));
    }
}
