//! Certificates of clients, with real handshakes: who is asked on which host, who is let in, what the endpoint hears.

use std::collections::BTreeMap;
use std::sync::Arc;

use ingress::snapshot::{IngressObject, Named, UserList};
use ingress::{Snapshot, build};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, HandshakeKind};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::fixture::{Answer, Gate, Upstream, ask, backend, options, snapshot};
use crate::nginx::Recorder;
use crate::secure::Seen;

pub struct Authority {
    pub issuer: Issuer<'static, KeyPair>,
    pub pem: String,
    pub der: CertificateDer<'static>,
}

pub type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

pub fn authority(name: &str, by: Option<&Authority>) -> Authority {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let made = match by {
        None => params.self_signed(&key),
        Some(by) => params.signed_by(&key, &by.issuer),
    };
    let made = made.expect("a certificate");
    Authority { pem: made.pem(), der: made.der().clone(), issuer: Issuer::new(params, key) }
}

pub fn identity(by: &Authority, name: &str) -> Identity {
    identity_of(by, |params| {
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
    })
}

pub fn identity_of(by: &Authority, change: impl FnOnce(&mut CertificateParams)) -> Identity {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    change(&mut params);
    let made = params.signed_by(&key, &by.issuer).expect("a certificate");
    (vec![made.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
}

pub fn config(identity: Option<&Identity>) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Seen::all()));
    let config = match identity {
        Some((chain, key)) => builder.with_client_auth_cert(chain.clone(), key.clone_key()).expect("an identity"),
        None => builder.with_no_client_auth(),
    };
    Arc::new(config)
}

async fn connect(gate: &Gate, config: &Arc<ClientConfig>, name: &str) -> TlsStream<TcpStream> {
    connect_to(TcpStream::connect(gate.https).await.expect("connect"), config, name).await
}

pub async fn connect_to(tcp: TcpStream, config: &Arc<ClientConfig>, name: &str) -> TlsStream<TcpStream> {
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    TlsConnector::from(config.clone()).connect(name, tcp).await.expect("a handshake")
}

/// Asks over an open connection.
pub async fn request(stream: &mut TlsStream<TcpStream>, host: &str, more: &str) -> Answer {
    stream.write_all(format!("GET / HTTP/1.1\r\nHost: {host}\r\n{more}\r\n").as_bytes()).await.expect("written");
    let mut answer = vec![0; 16 * 1024];
    let mut length = 0;
    loop {
        let read = stream.read(&mut answer[length..]).await.expect("an answer");
        length += read;
        let answer = Answer::parse(&String::from_utf8_lossy(&answer[..length]));
        let whole = answer.head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        if read == 0 || whole.is_some_and(|whole: usize| answer.body.len() >= whole) {
            return answer;
        }
    }
}

async fn once(gate: &Gate, identity: Option<&Identity>, host: &str) -> Answer {
    request(&mut connect(gate, &config(identity), host).await, host, "").await
}

/// One Ingress more, older the smaller its number.
pub fn with(snapshot: &mut Snapshot, number: u32, namespace: &str, (host, annotations): (&str, Value)) {
    let annotations: BTreeMap<String, Value> =
        annotations.as_object().expect("an object").clone().into_iter().collect();
    let annotations: BTreeMap<String, Value> =
        annotations.into_iter().map(|(key, value)| (format!("nginx.ingress.kubernetes.io/{key}"), value)).collect();
    let rules = json!([{"host": host, "http": {"paths": [
        {"path": if number < 100 { "/" } else { "/late" }, "pathType": "Prefix", "backend": backend("web")}]}}]);
    let object = json!({
        "metadata": {"namespace": namespace, "name": format!("i{number}"), "creationTimestamp": format!("2{number:04}"),
            "annotations": annotations},
        "spec": {"ingressClassName": "fedgate", "rules": rules},
    });
    snapshot.ingresses.push(Arc::new(IngressObject::read(&object)));
}

pub fn authorities(snapshot: &mut Snapshot, name: &str, pem: &str) {
    let keys = [("ca.crt".to_owned(), pem.as_bytes().to_vec())];
    snapshot.user_lists.insert(Named::new("n", name), Arc::new(UserList(keys.into())));
}

fn swap(gate: &Gate, snapshot: &Snapshot) {
    let before = gate.routes.load_full();
    gate.routes.store(Arc::new(build(snapshot, Some(&before), &options())));
}

/// Ingress: 49, 27
#[tokio::test]
async fn certificates_are_asked_for_and_told_on_the_hosts_that_want_them() {
    let up = Upstream::start("one").await;
    let (ours, theirs) = (authority("root", None), authority("other", None));
    let (good, strange) = (identity(&ours, "alice"), identity(&theirs, "mallory"));
    let mut snapshot = snapshot(&[up.address]);
    authorities(&mut snapshot, "ca", &ours.pem);
    let secret = |more: &[(&str, &str)]| {
        let mut all = json!({"auth-tls-secret": "n/ca", "ssl-redirect": "false"});
        more.iter().for_each(|(key, value)| all[*key] = json!(value));
        all
    };
    let page = "https://errors.example/certificate";
    for (number, host, more) in [
        (1, "on.example", &[][..]),
        (2, "optional.example", &[("auth-tls-verify-client", "optional")]),
        (3, "anybody.example", &[("auth-tls-verify-client", "optional_no_ca")]),
        (4, "off.example", &[("auth-tls-verify-client", "off")]),
        (5, "page.example", &[("auth-tls-error-page", page)]),
        (6, "named.example", &[("auth-tls-match-cn", "CN=ali")]),
        (7, "other.example", &[("auth-tls-match-cn", "CN=bob")]),
        (8, "pass.example", &[("auth-tls-pass-certificate-to-upstream", "true")]),
        (9, "*.wild.example", &[]),
    ] {
        with(&mut snapshot, number, "n", (host, secret(more)));
    }
    let gate = Gate::start(&snapshot, |_| ());
    assert_eq!(gate.routes.load().problems().iter().filter(|p| p.message.contains("auth-tls")).count(), 0);
    // Without a certificate, with one of a stranger, with a good one; and what the endpoint is told of the last two.
    for (host, wanted, told) in [
        ("on.example", [400, 400, 200], [None, Some("SUCCESS")]),
        ("optional.example", [200, 400, 200], [None, Some("SUCCESS")]),
        ("anybody.example", [200, 200, 200], [Some("FAILED:unable to verify the first certificate"), Some("SUCCESS")]),
        ("off.example", [200, 200, 200], [Some("NONE"), Some("NONE")]),
        ("page.example", [302, 302, 200], [None, Some("SUCCESS")]),
        ("named.example", [400, 400, 200], [None, Some("SUCCESS")]),
        ("other.example", [400, 400, 403], [None, None]),
        ("a.wild.example", [400, 400, 200], [None, Some("SUCCESS")]),
        ("plain.example", [200, 200, 200], [None, None]),
    ] {
        let answers = [
            once(&gate, None, host).await,
            once(&gate, Some(&strange), host).await,
            once(&gate, Some(&good), host).await,
        ];
        assert_eq!([&answers[0], &answers[1], &answers[2]].map(|answer| answer.status), wanted, "{host}");
        for (answer, told) in answers[1..].iter().zip(told) {
            if answer.status == 200 {
                assert_eq!(answer.json()["headers"]["ssl-client-verify"].as_str(), told, "{host}");
            }
        }
        if wanted[0] == 302 {
            assert!(answers[0].head.contains(&format!("location: {page}")));
        }
        if wanted[0] == 400 {
            assert!(answers[0].body.contains("No required SSL certificate was sent"), "{answers:?}");
            assert!(answers[1].body.contains("The SSL certificate error"), "{answers:?}");
        }
    }
    // Whatever a client says of itself is ours to say.
    let lies = "ssl-client-verify: SUCCESS\r\nSSL-Client-Cert: x\r\nssl-client-subject-dn: CN=root\r\n\
        Connection: ssl-client-verify, ssl-client-subject-dn, keep-alive\r\n";
    let mut stream = connect(&gate, &config(Some(&good)), "pass.example").await;
    let seen = request(&mut stream, "pass.example", lies).await.json();
    assert_eq!(seen["headers"]["ssl-client-subject-dn"], "CN=alice");
    assert_eq!(seen["headers"]["ssl-client-issuer-dn"], "CN=root");
    assert!(seen["headers"]["ssl-client-cert"].as_str().expect("told").starts_with("-----BEGIN%20CERT"));
    let seen = request(&mut connect(&gate, &config(None), "off.example").await, "off.example", lies).await.json();
    assert_eq!(seen["headers"]["ssl-client-verify"], "NONE");
    assert_eq!((seen["headers"].get("ssl-client-cert"), seen["headers"].get("ssl-client-subject-dn")), (None, None));
    // Without TLS nobody has shown anything.
    for (host, wanted) in [("on.example", 400), ("optional.example", 200), ("other.example", 400)] {
        let answer = ask(gate.http, &format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).await;
        assert_eq!(answer.status, wanted, "{host} {answer:?}");
    }
}

/// Ingress: 48, 49
#[tokio::test]
async fn a_connection_serves_only_hosts_that_ask_the_same() {
    let up = Upstream::start("one").await;
    let ours = authority("root", None);
    let good = identity(&ours, "alice");
    let mut snapshot = snapshot(&[up.address]);
    authorities(&mut snapshot, "ca", &ours.pem);
    let on = json!({"auth-tls-secret": "ca"});
    let optional = json!({"auth-tls-secret": "ca", "auth-tls-verify-client": "optional"});
    for (number, host, asked) in
        [(1, "a.example", &on), (2, "b.example", &on), (3, "c.example", &optional), (4, "d.example", &json!({}))]
    {
        with(&mut snapshot, number, "n", (host, asked.clone()));
    }
    let gate = Gate::start(&snapshot, |_| ());
    for (name, answers) in [
        ("a.example", [("a.example", 200), ("b.example", 200), ("c.example", 421), ("d.example", 421)]),
        ("c.example", [("c.example", 200), ("a.example", 421), ("b.example", 421), ("d.example", 421)]),
        ("d.example", [("d.example", 200), ("x.example", 200), ("a.example", 421), ("A.EXAMPLE:443", 421)]),
    ] {
        let mut stream = connect(&gate, &config(Some(&good)), name).await;
        for (host, wanted) in answers {
            assert_eq!(request(&mut stream, host, "").await.status, wanted, "{name} {host}");
        }
    }
    // No name at all: there is no other connection to ask for, so it is the certificate that lacks.
    let mut nameless = connect(&gate, &config(Some(&good)), "127.0.0.1").await;
    assert_eq!(request(&mut nameless, "a.example", "").await.status, 400);
}

/// Ingress: 49, 50
#[tokio::test]
async fn rules_that_change_hold_for_open_connections_and_end_sessions() {
    let up = Upstream::start("one").await;
    let (ours, next) = (authority("root", None), authority("other", None));
    let good = identity(&ours, "alice");
    let mut now = snapshot(&[up.address]);
    authorities(&mut now, "ca", &ours.pem);
    with(&mut now, 1, "n", ("a.example", json!({"auth-tls-secret": "ca"})));
    let plain = snapshot(&[up.address]);
    let gate = Gate::start(&plain, |_| ());
    let config = config(Some(&good));
    let mut before = connect(&gate, &config, "a.example").await;
    assert_eq!(request(&mut before, "a.example", "").await.status, 200);
    swap(&gate, &now);
    assert_eq!(request(&mut before, "a.example", "").await.status, 421, "it was not asked");
    let mut first = connect(&gate, &config, "a.example").await;
    assert_eq!(first.get_ref().1.handshake_kind(), Some(HandshakeKind::Full), "no session of other rules");
    assert_eq!(request(&mut first, "a.example", "").await.status, 200);
    let mut second = connect(&gate, &config, "a.example").await;
    assert_eq!(second.get_ref().1.handshake_kind(), Some(HandshakeKind::Resumed));
    let seen = request(&mut second, "a.example", "").await.json();
    assert_eq!(seen["headers"]["ssl-client-subject-dn"], "CN=alice", "who it was is part of the session");
    // The same rules again: sessions go on.
    swap(&gate, &now);
    let third = connect(&gate, &config, "a.example").await;
    assert_eq!(third.get_ref().1.handshake_kind(), Some(HandshakeKind::Resumed));
    // Others are believed now.
    authorities(&mut now, "ca", &next.pem);
    swap(&gate, &now);
    assert_eq!(request(&mut second, "a.example", "").await.status, 400);
    let mut fourth = connect(&gate, &config, "a.example").await;
    assert_eq!(fourth.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
    assert_eq!(request(&mut fourth, "a.example", "").await.status, 400);
    // Nobody is believed any more, and it is said.
    now.user_lists.clear();
    swap(&gate, &now);
    assert_eq!(once(&gate, Some(&good), "a.example").await.status, 503);
    assert_eq!(ask(gate.http, "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n").await.status, 503);
    let told = gate.routes.load().problems().iter().any(|p| p.message.contains("Secret n/ca: it has no ca.crt"));
    assert!(told, "{:?}", gate.routes.load().problems());
}

/// Ingress: 49, 42, 74
#[tokio::test]
async fn the_oldest_of_the_hosts_own_namespace_decides_for_the_whole_host() {
    let up = Upstream::start("one").await;
    let ours = authority("root", None);
    let good = identity(&ours, "alice");
    let mut snapshot = snapshot(&[up.address]);
    authorities(&mut snapshot, "ca", &ours.pem);
    authorities(&mut snapshot, "bad", "nonsense");
    let asks = |secret: &str| json!({"auth-tls-secret": secret});
    // The younger of a namespace asks for the whole host; one of another namespace cannot, and is closed itself.
    with(&mut snapshot, 1, "n", ("shared.example", json!({})));
    with(&mut snapshot, 101, "n", ("shared.example", asks("ca")));
    with(&mut snapshot, 2, "n", ("owned.example", json!({})));
    with(&mut snapshot, 102, "m", ("owned.example", asks("ca")));
    with(&mut snapshot, 3, "n", ("bad.example", json!({})));
    with(&mut snapshot, 103, "n", ("bad.example", asks("bad")));
    let unclear = json!({"auth-tls-secret": "ca", "auth-tls-match-cn": "alice"});
    with(&mut snapshot, 4, "n", ("unclear.example", json!({})));
    with(&mut snapshot, 104, "n", ("unclear.example", unclear));
    with(&mut snapshot, 5, "n", ("alone.example", json!({"auth-tls-verify-client": "on"})));
    let gate = Gate::start(&snapshot, |_| ());
    for (host, without, shown) in [
        ("shared.example", 400, 200),
        ("owned.example", 200, 200),
        ("bad.example", 503, 503),
        ("unclear.example", 503, 503),
        ("alone.example", 503, 503),
    ] {
        assert_eq!(once(&gate, None, host).await.status, without, "{host}");
        assert_eq!(once(&gate, Some(&good), host).await.status, shown, "{host}");
    }
    let late = |host: &str| format!("GET /late HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    assert_eq!(ask(gate.http, &late("owned.example")).await.status, 503);
    let table = gate.routes.load();
    let told = |name: &str| table.problems().iter().any(|p| &*p.on.name == name && p.message.contains("auth-tls"));
    assert!(told("i102") && told("i103") && told("i104") && told("i5") && !told("i101"), "{:?}", table.problems());
}

/// Ingress: 49, 85
#[tokio::test]
async fn what_a_service_said_of_one_certificate_says_nothing_of_another() {
    let main = Recorder::start().await;
    let ours = authority("root", None);
    let mut all = snapshot(&[main.address]);
    authorities(&mut all, "ca", &ours.pem);
    let asks = json!({
        "auth-tls-secret": "n/ca", "auth-url": "http://web.n.svc/check",
        "auth-cache-key": "$remote_user", "auth-cache-duration": "200 403 1h",
    });
    with(&mut all, 1, "n", ("a.example", asks));
    // One worker, since each remembers for itself.
    let gate = Gate::start(&all, |config| config.workers = 1);
    let (alice, bob) = (config(Some(&identity(&ours, "alice"))), config(Some(&identity(&ours, "bob"))));
    for (who, check, status, questions) in
        [(&alice, 200, 200, 1), (&alice, 403, 200, 0), (&bob, 403, 403, 1), (&bob, 200, 403, 0), (&alice, 403, 200, 0)]
    {
        let fields = format!("Authorization: Bearer a\r\nx-bare: 1\r\nx-check: {check}\r\nConnection: close\r\n");
        let answer = request(&mut connect(&gate, who, "a.example").await, "a.example", &fields).await;
        let asked = main.take().iter().filter(|seen| seen.line == "GET /check").count();
        assert_eq!((answer.status, asked), (status, questions));
    }
}

/// One element of DER: tag, and everything up to its end.
fn element(bytes: &[u8]) -> (u8, &[u8], &[u8]) {
    let (head, length) = match bytes[1] {
        short @ ..0x80 => (2, usize::from(short)),
        long => {
            let digits = usize::from(long & 0x7f);
            let length = bytes[2..2 + digits].iter().fold(0, |all, digit| all << 8 | usize::from(*digit));
            (2 + digits, length)
        }
    };
    (bytes[0], &bytes[head..head + length], &bytes[head + length..])
}

fn sequence(content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).expect("short").to_be_bytes();
    [&[0x30, 0x82, length[0], length[1]][..], content].concat()
}

/// The same certificate as of version 1: without its version and its extensions. Its signature is that of the other one.
fn of_version_1(certificate: &CertificateDer<'_>) -> CertificateDer<'static> {
    let (_, whole, _) = element(certificate);
    let (_, signed, signature) = element(whole);
    let (mut rest, mut kept) = (signed, Vec::new());
    while !rest.is_empty() {
        let (tag, _, after) = element(rest);
        if !matches!(tag, 0xa0 | 0xa3) {
            kept.extend_from_slice(&rest[..rest.len() - after.len()]);
        }
        rest = after;
    }
    sequence(&[sequence(&kept).as_slice(), signature].concat()).into()
}

/// Ingress: 49
#[tokio::test]
async fn a_certificate_of_version_1_is_refused_in_words_and_only_with_its_key() {
    let up = Upstream::start("one").await;
    let ours = authority("root", None);
    let mut snapshot = snapshot(&[up.address]);
    authorities(&mut snapshot, "ca", &ours.pem);
    with(&mut snapshot, 1, "n", ("on.example", json!({"auth-tls-secret": "ca"})));
    let gate = Gate::start(&snapshot, |_| ());
    let (alice, mallory) = (identity(&ours, "alice"), identity(&ours, "mallory"));
    let old = vec![of_version_1(&alice.0[0])];
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for (key, status) in [(&alice.1, Some(400)), (&mallory.1, None)] {
            let key = rustls::crypto::ring::sign::any_supported_type(key).expect("a key");
            let shown = Arc::new(rustls::sign::CertifiedKey::new(old.clone(), key));
            let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_protocol_versions(&[version])
                .expect("a version")
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Seen::all()))
                .with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(shown)));
            let tcp = TcpStream::connect(gate.https).await.expect("connect");
            let name = ServerName::try_from("on.example").expect("a name");
            let Ok(mut stream) = TlsConnector::from(Arc::new(config)).connect(name, tcp).await else {
                assert_eq!(status, None, "{version:?}");
                continue;
            };
            if status.is_none() {
                // With 1.3 the client hears of the refusal only when it reads.
                assert!(stream.read(&mut [0; 1]).await.is_err(), "{version:?}");
                continue;
            }
            let answer = request(&mut stream, "on.example", "").await;
            assert_eq!(Some(answer.status), status, "{version:?}");
            assert!(answer.body.contains("X.509 version 1"), "{}", answer.body);
        }
    }
}
