//! Certificates good and bad, as files, as identities and on the wire.

use super::{
    CertificateAuthority, ClientCertificate, ClientCertificates, ServingCertificate, ServingNames, X509Error,
    server_config,
};
use crate::{AuthenticationRequest, Authenticator, Credential, UserInfo};
use jiff::Timestamp;
use rcgen::{BasicConstraints, CertificateParams, DnType, DnValue, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

fn now() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

fn chain(pem: &str) -> Arc<ClientCertificate> {
    let chain = CertificateDer::pem_slice_iter(pem.as_bytes()).map(Result::unwrap).collect();
    Arc::new(ClientCertificate::new(chain).unwrap())
}

async fn who(
    trusted: &ClientCertificates,
    certificate: &Arc<ClientCertificate>,
    at: Timestamp,
) -> Result<Option<Arc<UserInfo>>, String> {
    let credential = Credential { certificate: Some(certificate.clone()), ..Credential::default() };
    let request = AuthenticationRequest { credential: &credential, path: "/", now: at };
    trusted.authenticate(&request).await.map_err(|error| error.to_string())
}

/// A client certificate that the authority would not issue itself.
fn odd(authority: &Odd, change: impl FnOnce(&mut CertificateParams)) -> Arc<ClientCertificate> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "ann");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    chain(&params.signed_by(&key, &authority.issuer).unwrap().pem())
}

struct Odd {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Odd {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }
}

/// Protocol: AU1
#[tokio::test]
async fn issued_certificates_name_their_user_until_they_expire() {
    let authority = CertificateAuthority::generate("test", now()).unwrap();
    let trusted = ClientCertificates::new(authority.certificate_pem()).unwrap();
    let issued = authority.issue_client("ann", &["dev", "ops"], HOUR, now()).unwrap();
    let presented = chain(&issued.certificate_pem);
    let user = who(&trusted, &presented, now()).await.unwrap().unwrap();
    assert_eq!(user.name, "ann");
    assert_eq!(user.groups, ["dev", "ops", "system:authenticated"]);
    let id = &user.extra["authentication.kubernetes.io/credential-id"][0];
    assert_eq!((id.starts_with("X509SHA256="), id.len()), (true, 11 + 64));
    assert!(!format!("{issued:?}").contains("PRIVATE KEY"));
    // The connection stays open: each request is judged at its own time.
    let at = |seconds: i64| Timestamp::from_second(now().as_second() + seconds).unwrap();
    assert!(who(&trusted, &presented, at(3599)).await.unwrap().is_some());
    assert!(who(&trusted, &presented, at(3601)).await.unwrap_err().contains("xpired"));
    assert!(who(&trusted, &presented, at(-301)).await.is_err());
    assert!(who(&trusted, &presented, at(0)).await.is_ok());
}

#[tokio::test]
async fn a_reloaded_bundle_counts_on_open_connections() {
    let (old, new) =
        (CertificateAuthority::generate("old", now()).unwrap(), CertificateAuthority::generate("new", now()).unwrap());
    let trusted = ClientCertificates::new(old.certificate_pem()).unwrap();
    let presented = chain(&old.issue_client("ann", &[], HOUR, now()).unwrap().certificate_pem);
    assert!(who(&trusted, &presented, now()).await.is_ok());
    assert!(trusted.reload("no certificate").is_err());
    assert!(who(&trusted, &presented, now()).await.is_ok());
    trusted.reload(new.certificate_pem()).unwrap();
    assert!(who(&trusted, &presented, now()).await.is_err());
    trusted.reload(&format!("{}{}", new.certificate_pem(), old.certificate_pem())).unwrap();
    assert!(who(&trusted, &presented, now()).await.is_ok());
    // An authority that has expired vouches for nobody.
    let later = now().checked_add(Duration::from_secs(11 * 365 * 86_400)).unwrap();
    let late = chain(&old.issue_client("ann", &[], HOUR, later).unwrap().certificate_pem);
    assert!(who(&trusted, &late, later).await.is_err());
}

#[tokio::test]
async fn hostile_certificates() {
    let authority = Odd::new();
    let trusted = ClientCertificates::new(&authority.pem).unwrap();
    let name = |params: &mut CertificateParams, kind: DnType, value: &str| {
        params.distinguished_name.push(kind, value);
    };
    let common_name_oid = DnType::CustomDnType(vec![2, 5, 4, 3]);
    let uid = DnType::CustomDnType(vec![1, 3, 6, 1, 4, 1, 57683, 2]);

    let user = who(&trusted, &odd(&authority, |p| name(p, common_name_oid, "eve")), now()).await;
    assert_eq!(user.unwrap().unwrap().name, "eve", "the last common name counts");
    let user = who(&trusted, &odd(&authority, |p| name(p, uid.clone(), "7")), now()).await;
    assert_eq!(user.unwrap().unwrap().uid, "7");
    let masters = odd(&authority, |p| name(p, DnType::CommonName, "system:masters"));
    let user = who(&trusted, &masters, now()).await.unwrap().unwrap();
    assert!(!user.is_in("system:masters"), "a user is no group");
    let any_usage = odd(&authority, |p| p.extended_key_usages.clear());
    assert!(who(&trusted, &any_usage, now()).await.is_ok());
    let nameless = odd(&authority, |p| p.distinguished_name = rcgen::DistinguishedName::new());
    assert_eq!(who(&trusted, &nameless, now()).await, Ok(None));

    let refused: Vec<(&str, Arc<ClientCertificate>)> = vec![
        ("wrong usage", odd(&authority, |p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth])),
        ("an authority as a client", odd(&authority, |p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained))),
        ("a stranger's", odd(&Odd::new(), |_| {})),
        ("NUL", odd(&authority, |p| name(p, DnType::CommonName, "ann\0eve"))),
        ("long", odd(&authority, |p| name(p, DnType::CommonName, &"a".repeat(10_000)))),
        ("empty group", odd(&authority, |p| name(p, DnType::OrganizationName, ""))),
        (
            "no text",
            odd(&authority, |p| {
                let value = DnValue::BmpString("ann".try_into().unwrap());
                p.distinguished_name.push(DnType::CommonName, value);
            }),
        ),
        ("expired", odd(&authority, |p| p.not_after = rcgen::date_time_ymd(2020, 1, 1))),
        ("not yet", odd(&authority, |p| p.not_before = rcgen::date_time_ymd(2030, 1, 1))),
        ("junk", Arc::new(ClientCertificate::new(vec![vec![0x30, 0x82].into()]).unwrap())),
        ("endless", {
            let one = CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap();
            Arc::new(ClientCertificate::new(vec![one; 50]).unwrap())
        }),
        ("self-signed", {
            let key = KeyPair::generate().unwrap();
            chain(&CertificateParams::default().self_signed(&key).unwrap().pem())
        }),
    ];
    for (why, certificate) in refused {
        assert!(who(&trusted, &certificate, now()).await.is_err(), "{why}");
    }
    assert!(ClientCertificate::new(vec![]).is_none());
}

#[test]
fn names_that_cannot_be_issued() {
    let authority = CertificateAuthority::generate("test", now()).unwrap();
    let issue = |user: &str, groups: &[&str]| authority.issue_client(user, groups, HOUR, now());
    assert!(matches!(issue("", &[]), Err(X509Error::Name(..))));
    assert!(matches!(issue("a\nb", &[]), Err(X509Error::Name(..))));
    assert!(matches!(issue("a", &["a", "b", "c"]), Err(X509Error::TooManyGroups { found: 3 })));
    let names = ServingNames { dns: vec!["bücher.de".into()], addresses: vec![] };
    assert!(matches!(authority.issue_serving(&names, HOUR, now()), Err(X509Error::Name(..))));
    assert!(matches!(authority.issue_client("a", &[], Duration::MAX, now()), Err(X509Error::Lifetime)));
}

#[tokio::test]
async fn an_authority_is_made_once_and_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let made = CertificateAuthority::open(dir.path(), "ca", now()).unwrap();
    let found = CertificateAuthority::open(dir.path(), "ca", now()).unwrap();
    assert_eq!(made.certificate_pem(), found.certificate_pem());
    let trusted = ClientCertificates::new(made.certificate_pem()).unwrap();
    let issued = found.issue_client("ann", &[], HOUR, now()).unwrap();
    assert!(who(&trusted, &chain(&issued.certificate_pem), now()).await.is_ok());
    std::fs::remove_file(dir.path().join("ca.key")).unwrap();
    let half = CertificateAuthority::open(dir.path(), "ca", now());
    assert!(matches!(half, Err(X509Error::HalfPresent(..))));
    std::fs::write(dir.path().join("ca.key"), "junk").unwrap();
    assert!(CertificateAuthority::open(dir.path(), "ca", now()).is_err());
}

#[test]
fn an_authority_whose_making_was_cut_off_is_completed_or_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let [key, certificate, early] = ["ca.key", "ca.crt", "ca.key.early"].map(|name| dir.path().join(name));
    let made = CertificateAuthority::open(dir.path(), "ca", now()).unwrap();
    assert!(!early.exists());
    std::fs::rename(&key, &early).unwrap();
    let completed = CertificateAuthority::open(dir.path(), "ca", now()).unwrap();
    assert_eq!(completed.certificate_pem(), made.certificate_pem());
    assert!(key.exists() && !early.exists());
    std::fs::rename(&key, &early).unwrap();
    std::fs::remove_file(&certificate).unwrap();
    let anew = CertificateAuthority::open(dir.path(), "ca", now()).unwrap();
    assert_ne!(anew.certificate_pem(), made.certificate_pem());
    assert!(key.exists() && certificate.exists() && !early.exists());
}

/// Does a whole handshake over memory and says what the server saw of the client.
fn handshake(
    server: rustls::ServerConfig,
    caller: rustls::ClientConfig,
) -> Result<(usize, Option<Vec<u8>>), rustls::Error> {
    let mut server = rustls::ServerConnection::new(Arc::new(server)).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut peer = rustls::ClientConnection::new(Arc::new(caller), name).unwrap();
    while peer.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        while peer.wants_write() {
            peer.write_tls(&mut wire).unwrap();
        }
        let mut read = wire.as_slice();
        while !read.is_empty() {
            server.read_tls(&mut read).unwrap();
            server.process_new_packets()?;
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut read = wire.as_slice();
        while !read.is_empty() {
            peer.read_tls(&mut read).unwrap();
            peer.process_new_packets()?;
        }
    }
    peer.writer().write_all(b"x").unwrap();
    let mut wire = Vec::new();
    peer.write_tls(&mut wire).unwrap();
    server.read_tls(&mut wire.as_slice()).unwrap();
    server.process_new_packets()?;
    let mut byte = [0];
    server.reader().read_exact(&mut byte).unwrap();
    let presented = server.peer_certificates().map_or(0, <[_]>::len);
    Ok((presented, server.alpn_protocol().map(<[u8]>::to_vec)))
}

#[test]
fn tls_asks_for_a_certificate_and_lets_requests_judge_it() {
    let at = Timestamp::now();
    let authority = CertificateAuthority::generate("test", at).unwrap();
    let stranger = CertificateAuthority::generate("stranger", at).unwrap();
    let names = ServingNames { dns: vec!["localhost".into()], addresses: vec!["127.0.0.1".parse().unwrap()] };
    let issued = authority.issue_serving(&names, HOUR, at).unwrap();
    let serving = ServingCertificate::from_pem(&issued.certificate_pem, issued.key_pem.expose()).unwrap();
    let serving = Arc::new(serving);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let connector = || {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(authority.certificate().clone()).unwrap();
        rustls::ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
    };
    let mut bare = connector().with_no_client_auth();
    bare.alpn_protocols = vec![b"h2".to_vec()];
    let seen = handshake(server_config(serving.clone()).unwrap(), bare).unwrap();
    assert_eq!(seen, (0, Some(b"h2".to_vec())));
    let foreign = stranger.issue_client("eve", &[], HOUR, at).unwrap();
    let key = PrivateKeyDer::from_pem_slice(foreign.key_pem.expose().as_bytes()).unwrap();
    let certificate = CertificateDer::from_pem_slice(foreign.certificate_pem.as_bytes()).unwrap();
    let with_foreign = connector().with_client_auth_cert(vec![certificate], key).unwrap();
    let seen = handshake(server_config(serving.clone()).unwrap(), with_foreign).unwrap();
    assert_eq!(seen.0, 1, "the handshake does not judge the authority");
    // A reload is shown to the next client; a bad one changes nothing.
    let other = stranger.issue_serving(&names, HOUR, at).unwrap();
    assert!(serving.reload(&other.certificate_pem, issued.key_pem.expose()).is_err());
    assert!(handshake(server_config(serving.clone()).unwrap(), connector().with_no_client_auth()).is_ok());
    serving.reload(&other.certificate_pem, other.key_pem.expose()).unwrap();
    assert!(handshake(server_config(serving).unwrap(), connector().with_no_client_auth()).is_err());
}
