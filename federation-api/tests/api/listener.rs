//! Who connects and does not behave: half handshakes, slow heads, silence, answers that nobody reads, too many at once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use auth::x509::{CertificateAuthority, ServingCertificate, ServingNames, server_config};
use auth::{AuthenticationError, AuthenticationRequest, Authenticator, AuthenticatorChain, UserInfo};
use federation_api::listen::{Limits, listen_within};
use federation_api::{Api, StoreConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::hub::{CONFIG_MAPS, Hub, PATIENCE, config_map};

/// As short as a test may wait, as long as a loaded machine needs for a handshake.
const SHORT: Duration = Duration::from_millis(500);
const LONG: Duration = Duration::from_secs(3_600);
/// What begins a connection of HTTP/2: the preface and empty settings.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";

struct Everybody;

#[async_trait]
impl Authenticator for Everybody {
    async fn authenticate(&self, _: &AuthenticationRequest<'_>) -> Result<Option<Arc<UserInfo>>, AuthenticationError> {
        Ok(Some(Arc::new(UserInfo::new("admin", ["system:masters"]))))
    }
}

struct Served {
    hub: Hub,
    address: SocketAddr,
    roots: RootCertStore,
}

type Stream = TlsStream<TcpStream>;

impl Served {
    async fn start(limits: Limits) -> Self {
        let now = jiff::Timestamp::now();
        let authority = CertificateAuthority::generate("test", now).expect("an authority");
        let names = ServingNames { dns: vec![], addresses: vec!["127.0.0.1".parse().expect("an address")] };
        let serving = authority.issue_serving(&names, LONG, now).expect("a certificate");
        let serving = ServingCertificate::from_pem(&serving.certificate_pem, serving.key_pem.expose()).expect("a pair");
        let chain = AuthenticatorChain::new(vec![Arc::new(Everybody)], None);
        let api = Api::builder().authenticators(chain).open(StoreConfig::Memory).await.expect("a store in memory");
        let hub = Hub::with(api.clone()).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let tls = Arc::new(server_config(Arc::new(serving)).expect("a TLS configuration"));
        tokio::spawn(listen_within(api, listener, (tls, limits), std::future::pending()));
        let mut roots = RootCertStore::empty();
        roots.add(authority.certificate().clone()).expect("a certificate");
        Self { hub, address, roots }
    }

    async fn connect(&self, protocol: &str) -> Stream {
        let mut config = ClientConfig::builder().with_root_certificates(self.roots.clone()).with_no_client_auth();
        config.alpn_protocols = vec![protocol.into()];
        let tcp = TcpStream::connect(self.address).await.expect("a connection");
        let name = ServerName::try_from("127.0.0.1").expect("a name");
        TlsConnector::from(Arc::new(config)).connect(name, tcp).await.expect("a handshake")
    }

    /// Somebody who behaves is served.
    async fn serves(&self) {
        let mut stream = self.connect("http/1.1").await;
        assert!(head(&mut stream, "/livez").await.starts_with("HTTP/1.1 200 "));
    }
}

/// Asks and reads the head of the answer, and whatever comes with it.
async fn head(stream: &mut Stream, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("written");
    let mut buffer = vec![0; 1024];
    let read = tokio::time::timeout(PATIENCE, stream.read(&mut buffer)).await.expect("in time").expect("an answer");
    String::from_utf8_lossy(&buffer[..read]).into_owned()
}

/// Reads until the other side has had enough; how much there was.
async fn ended(stream: &mut (impl tokio::io::AsyncRead + Unpin), what: &str) -> usize {
    let mut buffer = vec![0; 64 * 1024];
    let reading = async {
        let mut all = 0;
        loop {
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return all,
                Ok(read) => all += read,
            }
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.unwrap_or_else(|_| panic!("{what} is not closed"))
}

/// Protocol: F1
#[tokio::test]
async fn half_handshakes_are_closed_and_keep_nobody_waiting() {
    let served = Served::start(Limits { handshake: SHORT, ..Limits::default() }).await;
    let mut halves = Vec::new();
    for begun in [&b""[..], b"\x16\x03\x01", b"\x16\x03\x01\x02\x00\x01"] {
        for _ in 0..100 {
            let mut half = TcpStream::connect(served.address).await.expect("a connection");
            half.write_all(begun).await.expect("written");
            halves.push(half);
        }
    }
    served.serves().await;
    for mut half in halves {
        ended(&mut half, "half a handshake").await;
    }
}

/// Protocol: F1
#[tokio::test]
async fn slow_heads_and_silence_are_closed() {
    let limits = Limits { header: SHORT, idle: SHORT, ..Limits::default() };
    let served = Served::start(limits).await;
    let mut slow = served.connect("http/1.1").await;
    slow.write_all(b"GET /api/v1/namespaces HTTP/1.1\r\nhost: x\r\nx-slow: ").await.expect("written");
    let mut kept = served.connect("http/1.1").await;
    assert!(head(&mut kept, "/livez").await.starts_with("HTTP/1.1 200 "));
    let mut preface = served.connect("h2").await;
    preface.write_all(PREFACE).await.expect("written");
    for (stream, what) in
        [(&mut slow, "a slow head"), (&mut kept, "a silent connection"), (&mut preface, "one of HTTP/2")]
    {
        ended(stream, what).await;
    }
    served.serves().await;
}

/// Protocol: F1
#[tokio::test]
async fn a_watch_may_be_silent() {
    let limits = Limits { idle: SHORT, stalled: SHORT, ..Limits::default() };
    let served = Served::start(limits).await;
    let mut watch = served.connect("http/1.1").await;
    let begun = head(&mut watch, &format!("{CONFIG_MAPS}?watch=true&resourceVersion=0")).await;
    assert!(begun.starts_with("HTTP/1.1 200 "), "{begun}");
    // Another that is as silent, and younger, is closed meanwhile.
    let mut silent = served.connect("h2").await;
    silent.write_all(PREFACE).await.expect("written");
    ended(&mut silent, "a silent connection").await;
    served.hub.config_map("seen").await;
    let mut seen = String::new();
    while !seen.contains("\"seen\"") {
        let mut buffer = vec![0; 4096];
        let read = tokio::time::timeout(PATIENCE, watch.read(&mut buffer)).await.expect("in time").expect("an event");
        assert!(read > 0, "the watch goes on: {seen}");
        seen.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
}

/// Protocol: F1
#[tokio::test]
async fn who_does_not_read_is_cut_off() {
    const MAPS: usize = 24;
    let served = Served::start(Limits { stalled: SHORT, ..Limits::default() }).await;
    let mut large = config_map("x");
    large["data"]["key"] = "x".repeat(1_000_000).into();
    for i in 0..MAPS {
        large["metadata"]["name"] = format!("large-{i}").into();
        served.hub.post(CONFIG_MAPS, &large).await.expect(201);
    }
    let mut deaf = served.connect("http/1.1").await;
    assert!(head(&mut deaf, CONFIG_MAPS).await.starts_with("HTTP/1.1 200 "));
    // It hears nothing until its seat is free again: then the connection is gone.
    let seats = "apiserver_flowcontrol_current_executing_requests{flow_schema=\"exempt\",priority_level=\"exempt\"} ";
    let alone = async || {
        let metrics = String::from_utf8(served.hub.get("/metrics").await.body.to_vec()).expect("text");
        let line = metrics.lines().find_map(|line| line.strip_prefix(seats));
        line.map_or(0, |count| count.parse::<f64>().expect("a number") as usize) <= 1
    };
    let waiting = async {
        while !alone().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("the seat is free in time");
    let read = ended(&mut deaf, "one that does not read").await;
    assert!(read < MAPS * 1_000_000, "it was cut off");
    served.serves().await;
}

/// Protocol: F1
#[tokio::test]
async fn silent_connections_give_way_to_new_ones() {
    let served = Served::start(Limits { connections: 8, ..Limits::default() }).await;
    let mut watch = served.connect("http/1.1").await;
    let begun = head(&mut watch, &format!("{CONFIG_MAPS}?watch=true&resourceVersion=0")).await;
    assert!(begun.starts_with("HTTP/1.1 200 "), "{begun}");
    let mut silent = Vec::new();
    for _ in 0..32 {
        silent.push(served.connect("http/1.1").await);
    }
    served.serves().await;
    for (i, stream) in silent.iter_mut().take(20).enumerate() {
        ended(stream, &format!("silent connection {i}")).await;
    }
    served.hub.config_map("seen").await;
    let mut buffer = vec![0; 4096];
    let read = tokio::time::timeout(PATIENCE, watch.read(&mut buffer)).await.expect("in time").expect("an event");
    assert!(read > 0, "who watches stays");
}
