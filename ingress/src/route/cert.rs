//! Certificates by server name: exact, one-label wildcard, then the default; parsed once, kept while their Secret stays the same.
//!
//! A name may have two, with keys of different kinds. Knows PEM and SNI; must not know handshakes.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use rustls::SignatureAlgorithm;
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
    exact: HashMap<Box<str>, Pair>,
    /// Keyed by what follows `*.`.
    wildcard: HashMap<Box<str>, Pair>,
    default: Option<Arc<CertifiedKey>>,
    parsed: BTreeMap<Named, Parsed>,
}

/// What a name is served with.
struct Pair {
    first: Arc<CertifiedKey>,
    /// With a key of another kind, for clients that cannot verify the first; of the same namespace, since a name has one owner.
    second: Option<Arc<CertifiedKey>>,
    secret: Named,
}

struct Parsed {
    source: Arc<TlsSecret>,
    certificate: Arc<CertifiedKey>,
}

/// A name that an older Ingress has given another certificate.
#[derive(Debug, PartialEq, Eq)]
pub struct Taken {
    pub host: String,
    pub secret: Named,
}

impl fmt::Debug for Certs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certs").field("names", &self.exact.len()).finish_non_exhaustive()
    }
}

impl Pair {
    /// Clients that can have either get the one that costs less: anything but RSA.
    fn choose(&self, usable: impl Fn(&CertifiedKey) -> bool) -> &Arc<CertifiedKey> {
        let Some(second) = &self.second else { return &self.first };
        let (light, heavy) = if is_rsa(&self.first) { (second, &self.first) } else { (&self.first, second) };
        if usable(light) || !usable(heavy) { light } else { heavy }
    }
}

fn is_rsa(certificate: &CertifiedKey) -> bool {
    certificate.key.algorithm() == SignatureAlgorithm::RSA
}

impl Certs {
    /// The certificate for a server name as the client sent it.
    #[must_use]
    pub fn find(&self, server_name: &str) -> Option<&Arc<CertifiedKey>> {
        self.pair(server_name).map(|pair| &pair.first)
    }

    /// Whether there is a certificate for a host as routes are looked up.
    #[must_use]
    pub fn has(&self, host: &str) -> bool {
        let wildcard = || host.split_once('.').is_some_and(|(_, rest)| self.wildcard.contains_key(rest));
        self.exact.contains_key(host) || wildcard()
    }

    /// The certificate for a server name, or the default, out of those that the client says it can use.
    #[must_use]
    pub fn choose(
        &self,
        server_name: Option<&str>,
        usable: impl Fn(&CertifiedKey) -> bool,
    ) -> Option<&Arc<CertifiedKey>> {
        let named = server_name.and_then(|name| self.pair(name)).map(|pair| pair.choose(usable));
        named.or(self.default.as_ref())
    }

    /// Whether a request for `host` came over a connection that was set up for somebody else: both have certificates,
    /// and not the same (RFC 9110 §15.5.20). Names that share a certificate may share connections, too.
    #[must_use]
    pub fn misdirected(&self, server_name: &str, host: &str) -> bool {
        match (self.pair(server_name), self.pair(host)) {
            (Some(asked), Some(needed)) => !Arc::ptr_eq(&asked.first, &needed.first),
            _ => false,
        }
    }

    /// How many Secrets are parsed.
    pub(super) fn parsed(&self) -> usize {
        self.parsed.len()
    }

    fn pair(&self, server_name: &str) -> Option<&Pair> {
        let lower = server_name.to_ascii_lowercase();
        let name = lower.strip_suffix('.').unwrap_or(&lower);
        let wildcard = || self.wildcard.get(name.split_once('.')?.1);
        self.exact.get(name).or_else(wildcard)
    }

    /// Serves `hosts` with a Secret's certificate; a bad Secret keeps what `before` had parsed from it.
    ///
    /// A host that an older Ingress has claimed stays with that one; those are what is returned.
    ///
    /// # Errors
    /// [`CertError`] says what is wrong with the Secret, also when an older certificate goes on in its place.
    pub fn add<'h>(
        &mut self,
        secret: (&Named, &Arc<TlsSecret>),
        hosts: impl Iterator<Item = &'h str>,
        before: Option<&Self>,
    ) -> Result<Vec<Taken>, CertError> {
        let (certificate, fault) = self.read(secret, before)?;
        let taken = self.claim(secret.0, &certificate, hosts);
        fault.map_or(Ok(taken), Err)
    }

    fn claim<'h>(
        &mut self,
        secret: &Named,
        certificate: &Arc<CertifiedKey>,
        hosts: impl Iterator<Item = &'h str>,
    ) -> Vec<Taken> {
        let mut taken = Vec::new();
        for host in hosts {
            let (map, name) = match host.strip_prefix("*.") {
                Some(rest) => (&mut self.wildcard, rest),
                None => (&mut self.exact, host),
            };
            let fresh = || Pair { first: certificate.clone(), second: None, secret: secret.clone() };
            let pair = map.entry(name.into()).or_insert_with(fresh);
            let known = Arc::ptr_eq(&pair.first, certificate)
                || pair.second.as_ref().is_some_and(|second| Arc::ptr_eq(second, certificate));
            let other_kind = pair.first.key.algorithm() != certificate.key.algorithm();
            if !known && pair.second.is_none() && other_kind && pair.secret.namespace == secret.namespace {
                pair.second = Some(certificate.clone());
            } else if !known {
                taken.push(Taken { host: host.to_owned(), secret: pair.secret.clone() });
            }
        }
        taken
    }

    /// Serves everybody else with a Secret's certificate.
    ///
    /// # Errors
    /// As of [`add`](Self::add).
    pub fn set_default(&mut self, secret: (&Named, &Arc<TlsSecret>), before: Option<&Self>) -> Result<(), CertError> {
        let (certificate, fault) = self.read(secret, before)?;
        self.default = Some(certificate);
        fault.map_or(Ok(()), Err)
    }

    /// What a Secret holds, or what it held when it was last good, and then why.
    fn read(
        &mut self,
        (key, source): (&Named, &Arc<TlsSecret>),
        before: Option<&Self>,
    ) -> Result<(Arc<CertifiedKey>, Option<CertError>), CertError> {
        let kept = self.parsed.get(key).or_else(|| before?.parsed.get(key));
        let same = kept.filter(|kept| kept.source == *source).map(|kept| Ok(kept.certificate.clone()));
        let parsed = same.unwrap_or_else(|| parse(source).map(Arc::new));
        let (certificate, source, fault) = match (parsed, kept) {
            (Ok(certificate), _) => (certificate, source.clone(), None),
            (Err(fault), Some(kept)) => (kept.certificate.clone(), kept.source.clone(), Some(fault)),
            (Err(fault), None) => return Err(fault),
        };
        self.parsed.insert(key.clone(), Parsed { source, certificate: certificate.clone() });
        Ok((certificate, fault))
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

    use rustls::sign::{CertifiedKey, Signer, SigningKey};
    use rustls::{SignatureAlgorithm, SignatureScheme};

    use super::{CertError, Certs, Taken, is_rsa};
    use crate::snapshot::{Named, TlsSecret};

    /// A key that is of a kind, and no more.
    #[derive(Debug)]
    struct Kind(SignatureAlgorithm);

    impl SigningKey for Kind {
        fn choose_scheme(&self, _: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
            None
        }

        fn algorithm(&self) -> SignatureAlgorithm {
            self.0
        }
    }

    fn of_kind(kind: SignatureAlgorithm) -> Arc<CertifiedKey> {
        Arc::new(CertifiedKey::new(Vec::new(), Arc::new(Kind(kind))))
    }

    fn secret(host: &str) -> Arc<TlsSecret> {
        let made = rcgen::generate_simple_self_signed([host.to_owned()]).expect("a certificate");
        Arc::new(TlsSecret {
            certificate: made.cert.pem().into_bytes(),
            private_key: made.signing_key.serialize_pem().into_bytes(),
        })
    }

    /// Ingress: 47
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

    /// Ingress: 50
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

    /// Ingress: 50
    #[test]
    fn a_key_of_another_certificate_is_refused_and_never_printed() {
        let (one, two) = (secret("h"), secret("h"));
        let mixed = Arc::new(TlsSecret { certificate: one.certificate.clone(), private_key: two.private_key.clone() });
        assert_eq!(super::parse(&mixed).map(|_| ()), Err(CertError::Mismatch));
        assert!(!format!("{mixed:?}").contains("PRIVATE"));
        let keyless = TlsSecret { private_key: b"x".to_vec(), ..(*one).clone() };
        assert_eq!(super::parse(&keyless).map(|_| ()), Err(CertError::Key));
    }

    /// Ingress: 47, 50
    #[test]
    fn two_kinds_of_key_make_a_pair_and_the_client_decides() {
        for order in [[0, 1], [1, 0]] {
            let given = [
                (Named::new("n", "rsa"), of_kind(SignatureAlgorithm::RSA)),
                (Named::new("n", "light"), of_kind(SignatureAlgorithm::ECDSA)),
            ];
            let mut certs = Certs::default();
            for at in order {
                assert_eq!(certs.claim(&given[at].0, &given[at].1, ["h"].into_iter()), Vec::new());
            }
            let chosen = |usable: fn(&CertifiedKey) -> bool| is_rsa(certs.choose(Some("H."), usable).expect("one"));
            assert!(!chosen(|_| true) && chosen(is_rsa) && !chosen(|key| !is_rsa(key)) && !chosen(|_| false));
        }
    }

    /// Ingress: 47
    #[test]
    fn of_several_certificates_for_a_name_the_first_stays_and_the_others_are_told() {
        let same = SignatureAlgorithm::ECDSA;
        let (one, two, three) = (of_kind(same), of_kind(same), of_kind(SignatureAlgorithm::RSA));
        let keys = [Named::new("n", "one"), Named::new("n", "two"), Named::new("other", "three")];
        let mut certs = Certs::default();
        let mut claim = |at: usize, key| certs.claim(&keys[at], key, ["h", "i"].into_iter().take(3 - at));
        assert_eq!(claim(0, &one), Vec::new());
        let taken = |host: &str| Taken { host: host.into(), secret: keys[0].clone() };
        assert_eq!(claim(1, &two), [taken("h"), taken("i")]);
        assert_eq!(claim(2, &three), [taken("h")], "another namespace adds nothing to a name that it does not own");
        assert_eq!(claim(0, &one), Vec::new(), "once more is nothing new");
    }

    /// Ingress: 48
    #[test]
    fn names_share_connections_if_they_share_a_certificate() {
        let mut certs = Certs::default();
        let (one, two) = (secret("a"), secret("b"));
        certs.add((&Named::new("n", "one"), &one), ["a.example", "*.wild.example"].into_iter(), None).expect("good");
        certs.add((&Named::new("n", "two"), &two), ["b.example"].into_iter(), None).expect("good");
        for (server_name, host, wanted) in [
            ("a.example", "b.example", true),
            ("b.example", "x.wild.example", true),
            ("a.example", "x.wild.example", false),
            ("x.wild.example", "y.wild.example", false),
            ("a.example", "plain.example", false),
            ("edge.example", "b.example", false),
            ("A.example.", "a.example", false),
        ] {
            assert_eq!(certs.misdirected(server_name, host), wanted, "{server_name} {host}");
        }
    }

    /// Ingress: 47, 50
    #[test]
    fn the_default_is_for_whoever_asks_for_nothing_known() {
        let key = Named::new("n", "default");
        let mut certs = Certs::default();
        assert!(certs.choose(None, |_| true).is_none());
        certs.set_default((&key, &secret("d")), None).expect("good");
        let default = certs.choose(None, |_| true).expect("the default").clone();
        assert!(Arc::ptr_eq(&default, certs.choose(Some("unknown"), |_| true).expect("the default")));
        assert!(certs.find("unknown").is_none(), "it makes no host one with a certificate");
        let bad = Arc::new(TlsSecret { certificate: b"x".to_vec(), private_key: Vec::new() });
        let mut next = Certs::default();
        next.set_default((&key, &bad), Some(&certs)).expect_err("bad");
        assert!(Arc::ptr_eq(&default, next.choose(None, |_| true).expect("kept")));
    }

    /// Ingress: 50
    #[test]
    fn pem_is_read_however_its_lines_end() {
        let good = secret("h");
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
        let (chain, key) = (text(&good.certificate), text(&good.private_key));
        for change in [
            |text: &str| text.replace('\n', "\r\n"),
            |text: &str| text.trim_end().to_owned(),
            |text: &str| format!("\n\n# a comment\n{text}\n\n"),
            |text: &str| format!("subject=/CN=h\nissuer=/CN=h\n{text}"),
            |text: &str| text.replace("\n", " \n").replace("----- \n", "-----\n"),
        ] {
            let odd = TlsSecret { certificate: change(&chain).into_bytes(), private_key: change(&key).into_bytes() };
            assert!(super::parse(&odd).is_ok(), "{odd:?} {}", change(&chain));
        }
        let chained = TlsSecret { certificate: format!("{chain}{chain}").into_bytes(), ..(*good).clone() };
        assert_eq!(super::parse(&chained).expect("a chain").cert.len(), 2);
        let both = TlsSecret { private_key: format!("{chain}{key}").into_bytes(), ..(*good).clone() };
        assert!(super::parse(&both).is_ok(), "a key after its certificate");
    }
}
