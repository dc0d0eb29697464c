//! How endpoints are spoken to: HTTP/1.1 or HTTP/2, plain or TLS, and which connections may be shared for it.
//!
//! Compiled with the routes; knows rustls' configuration, must not know sockets.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme, SupportedProtocolVersion};

static ONLY_12: [&SupportedProtocolVersion; 1] = [&TLS12];
static ONLY_13: [&SupportedProtocolVersion; 1] = [&TLS13];

/// What endpoints speak.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum UpstreamProtocol {
    #[default]
    Http1,
    /// Also what gRPC needs.
    H2,
}

/// The PROXY header that connections to endpoints begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Announce {
    V1,
    V2,
}

/// What an Ingress or a Service asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct WireSpec {
    pub protocol: UpstreamProtocol,
    pub tls: Option<UpstreamTls>,
    /// Such connections belong to one client and are never kept.
    pub announce: Option<Announce>,
}

/// TLS towards endpoints.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct UpstreamTls {
    pub verify: Verify,
    /// Chain and key in PEM with which we show who we are.
    pub own: Option<Arc<(Vec<u8>, Vec<u8>)>>,
    /// The name that the endpoint's certificate must have, and that is sent as SNI.
    pub name: Arc<str>,
    /// Whether SNI is sent at all.
    pub sni: bool,
    pub versions: TlsVersions,
}

/// The versions of TLS that are spoken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum TlsVersions {
    #[default]
    All,
    Only12,
    Only13,
}

/// How an endpoint's certificate is checked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Verify {
    /// Not at all: encrypted, but with whom is not known.
    Nothing,
    /// Against these authorities in PEM, name included.
    Authorities(Arc<[u8]>),
    /// Against these authorities, whatever name it has.
    AuthoritiesAnyName(Arc<[u8]>),
}

/// Why a [`WireSpec`] cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error("ca.crt holds no readable PEM certificate")]
    Authorities,
    #[error("tls.crt or tls.key cannot be used to present ourselves to endpoints")]
    Own,
    #[error("{0:?} is no name that a certificate can have")]
    Name(Arc<str>),
    #[error("TLS towards endpoints cannot be set up: {0}")]
    Setup(String),
}

/// A compiled [`WireSpec`].
#[derive(Debug)]
pub struct Wire {
    /// Connections are shared within one id only; 0 is plain HTTP/1.1.
    pub id: u32,
    pub protocol: UpstreamProtocol,
    pub announce: Option<Announce>,
    pub tls: Option<TlsSetup>,
}

/// What a TLS handshake with an endpoint needs.
#[derive(Clone)]
pub struct TlsSetup {
    pub config: Arc<ClientConfig>,
    pub name: ServerName<'static>,
}

/// What a route's endpoints are spoken to in, which may depend on how the client came.
#[derive(Debug, Clone)]
pub struct Wiring {
    plain: Arc<Wire>,
    secure: Option<Arc<Wire>>,
}

/// All wires of one route table; a spec that stays keeps its id, one that goes never gives its id away.
#[derive(Debug, Default)]
pub struct Wires {
    known: HashMap<WireSpec, Arc<Wire>>,
    last: u32,
}

impl fmt::Debug for UpstreamTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamTls").field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Debug for TlsSetup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSetup").field("name", &self.name).finish_non_exhaustive()
    }
}

impl WireSpec {
    /// What a Service port's `appProtocol` asks for; TLS is unverified then, since nothing says what to verify against.
    #[must_use]
    pub fn of_app_protocol(app_protocol: &str, server_name: &str) -> Self {
        let (protocol, secure) = match app_protocol {
            "kubernetes.io/h2c" | "h2c" | "http2" | "grpc" => (UpstreamProtocol::H2, false),
            "grpcs" => (UpstreamProtocol::H2, true),
            "https" | "kubernetes.io/wss" => (UpstreamProtocol::Http1, true),
            // `http`, `kubernetes.io/ws` and what nobody has defined.
            _ => (UpstreamProtocol::Http1, false),
        };
        Self { protocol, tls: secure.then(|| UpstreamTls::unverified(server_name)), announce: None }
    }
}

impl UpstreamTls {
    /// TLS without a check of whom it is with.
    #[must_use]
    pub fn unverified(name: &str) -> Self {
        Self { verify: Verify::Nothing, own: None, name: name.into(), sni: true, versions: TlsVersions::All }
    }
}

impl Wire {
    /// HTTP/1.1 without TLS.
    #[must_use]
    pub fn plain() -> Arc<Self> {
        Arc::new(Self { id: 0, protocol: UpstreamProtocol::Http1, announce: None, tls: None })
    }

    /// Whether requests share connections.
    #[must_use]
    pub fn is_bare(&self) -> bool {
        self.id == 0
    }

    /// Whether one connection carries many requests.
    #[must_use]
    pub fn is_h2(&self) -> bool {
        self.protocol == UpstreamProtocol::H2
    }
}

impl From<Arc<Wire>> for Wiring {
    fn from(plain: Arc<Wire>) -> Self {
        Self { plain, secure: None }
    }
}

impl Wiring {
    /// One wire for clients that came plain, another for those that came over TLS.
    #[must_use]
    pub fn by_scheme(plain: Arc<Wire>, secure: Arc<Wire>) -> Self {
        Self { plain, secure: Some(secure) }
    }

    /// The PROXY header that endpoints want, over either wire.
    #[must_use]
    pub fn announce(&self) -> Option<Announce> {
        self.plain.announce
    }

    /// The wire for a client that came by `scheme`.
    #[must_use]
    pub fn wire(&self, scheme: &http::HeaderValue) -> &Arc<Wire> {
        match &self.secure {
            Some(secure) if scheme == "https" => secure,
            _ => &self.plain,
        }
    }
}

impl Wires {
    /// None yet; ids go on where `before` was.
    #[must_use]
    pub fn following(before: Option<&Self>) -> Self {
        Self { known: HashMap::new(), last: before.map_or(0, |before| before.last) }
    }

    /// The wire of a spec, the one of `before` if it was known there.
    ///
    /// # Errors
    /// [`WireError`] names what is wrong with the spec.
    pub fn wire(&mut self, spec: &WireSpec, before: Option<&Self>) -> Result<Arc<Wire>, WireError> {
        if let Some(known) = self.known.get(spec) {
            return Ok(known.clone());
        }
        let kept = before.and_then(|before| before.known.get(spec)).cloned();
        let wire = match kept {
            Some(kept) => kept,
            None if *spec == WireSpec::default() => Wire::plain(),
            None => {
                let tls = spec.tls.as_ref().map(|tls| setup(tls, spec.protocol)).transpose()?;
                self.last += 1;
                Arc::new(Wire { id: self.last, protocol: spec.protocol, announce: spec.announce, tls })
            }
        };
        self.known.insert(spec.clone(), wire.clone());
        Ok(wire)
    }
}

fn setup(tls: &UpstreamTls, protocol: UpstreamProtocol) -> Result<TlsSetup, WireError> {
    let name = ServerName::try_from(&*tls.name).map_err(|_| WireError::Name(tls.name.clone()))?.to_owned();
    let failed = |error: &dyn fmt::Display| WireError::Setup(error.to_string());
    let provider = Arc::new(ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match &tls.verify {
        Verify::Nothing => Arc::new(AnyName { roots: None, provider: provider.clone() }),
        Verify::AuthoritiesAnyName(pem) => {
            Arc::new(AnyName { roots: Some(authorities(pem)?), provider: provider.clone() })
        }
        Verify::Authorities(pem) => {
            WebPkiServerVerifier::builder_with_provider(Arc::new(authorities(pem)?), provider.clone())
                .build()
                .map_err(|error| failed(&error))?
        }
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(match tls.versions {
            TlsVersions::All => rustls::ALL_VERSIONS,
            TlsVersions::Only12 => &ONLY_12,
            TlsVersions::Only13 => &ONLY_13,
        })
        .map_err(|error| failed(&error))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match &tls.own {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let chain = CertificateDer::pem_slice_iter(&own.0).collect::<Result<_, _>>().map_err(|_| WireError::Own)?;
            let key = PrivateKeyDer::from_pem_slice(&own.1).map_err(|_| WireError::Own)?;
            builder.with_client_auth_cert(chain, key).map_err(|_| WireError::Own)?
        }
    };
    config.enable_sni = tls.sni;
    config.alpn_protocols = match protocol {
        UpstreamProtocol::Http1 => vec![b"http/1.1".to_vec()],
        UpstreamProtocol::H2 => vec![b"h2".to_vec()],
    };
    Ok(TlsSetup { config: Arc::new(config), name })
}

fn authorities(pem: &[u8]) -> Result<RootCertStore, WireError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let added = certificate.ok().and_then(|certificate| roots.add(certificate).ok());
        added.ok_or(WireError::Authorities)?;
    }
    if roots.is_empty() { Err(WireError::Authorities) } else { Ok(roots) }
}

/// Proves that the other side has its certificate's key, and perhaps who issued it; not whose name it bears.
#[derive(Debug)]
struct AnyName {
    roots: Option<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(roots) = &self.roots {
            let algorithms = self.provider.signature_verification_algorithms.all;
            let parsed = ParsedCertificate::try_from(end_entity)?;
            verify_server_cert_signed_by_trust_anchor(&parsed, roots, intermediates, now, algorithms)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Announce, TlsVersions, UpstreamProtocol, UpstreamTls, Verify, WireError, WireSpec, Wires};

    fn tls(change: impl FnOnce(&mut UpstreamTls)) -> WireSpec {
        let mut tls = UpstreamTls::unverified("svc.example");
        change(&mut tls);
        WireSpec { tls: Some(tls), ..WireSpec::default() }
    }

    /// Ingress: 52
    #[test]
    fn connections_are_shared_only_where_every_parameter_is_the_same() {
        let made = rcgen::generate_simple_self_signed(["x".to_owned()]).expect("a certificate");
        let pem = made.cert.pem().into_bytes();
        let key = made.signing_key.serialize_pem().into_bytes();
        let specs = [
            WireSpec::default(),
            WireSpec { protocol: UpstreamProtocol::H2, ..WireSpec::default() },
            WireSpec { announce: Some(Announce::V1), ..WireSpec::default() },
            WireSpec { announce: Some(Announce::V2), ..WireSpec::default() },
            tls(|_| ()),
            tls(|tls| tls.name = "other.example".into()),
            tls(|tls| tls.sni = false),
            tls(|tls| tls.versions = TlsVersions::Only13),
            tls(|tls| tls.verify = Verify::Authorities(pem.clone().into())),
            tls(|tls| tls.verify = Verify::AuthoritiesAnyName(pem.clone().into())),
            tls(|tls| tls.own = Some(Arc::new((pem.clone(), key.clone())))),
        ];
        let mut first = Wires::following(None);
        let ids: Vec<u32> = specs.iter().map(|spec| first.wire(spec, None).expect("sound").id).collect();
        assert_eq!(ids, (0..11).collect::<Vec<_>>());
        let mut second = Wires::following(Some(&first));
        let again = second.wire(&specs[4], Some(&first)).expect("sound");
        assert_eq!(
            (again.id, second.wire(&tls(|tls| tls.name = "new".into()), Some(&first)).expect("new").id),
            (4, 11)
        );
        let mut third = Wires::following(Some(&second));
        let back = third.wire(&specs[10], Some(&second)).expect("sound");
        assert_eq!(back.id, 12, "what was gone for a while is another one");
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let mut wires = Wires::following(None);
        for (spec, wanted) in [
            (tls(|tls| tls.name = "not a name".into()), WireError::Name("not a name".into())),
            (tls(|tls| tls.verify = Verify::Authorities((*b"nonsense").into())), WireError::Authorities),
            (tls(|tls| tls.own = Some(Arc::new((b"x".to_vec(), b"y".to_vec())))), WireError::Own),
        ] {
            assert_eq!(wires.wire(&spec, None).map(|wire| wire.id), Err(wanted));
        }
    }

    #[test]
    fn app_protocols_mean_what_kubernetes_says() {
        for (name, protocol, secure) in [
            ("", UpstreamProtocol::Http1, false),
            ("http", UpstreamProtocol::Http1, false),
            ("kubernetes.io/ws", UpstreamProtocol::Http1, false),
            ("kubernetes.io/wss", UpstreamProtocol::Http1, true),
            ("https", UpstreamProtocol::Http1, true),
            ("kubernetes.io/h2c", UpstreamProtocol::H2, false),
            ("grpc", UpstreamProtocol::H2, false),
            ("grpcs", UpstreamProtocol::H2, true),
            ("example.com/own", UpstreamProtocol::Http1, false),
        ] {
            let spec = WireSpec::of_app_protocol(name, "svc");
            assert_eq!((spec.protocol, spec.tls.is_some()), (protocol, secure), "{name}");
        }
    }
}
