//! The listeners over real sockets: both transports, limits, swaps, shutdown; and `dig` where there is one.
#![allow(clippy::unwrap_used)]

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use dns::{DnsConfig, DnsError, Metrics, Service, TcpLimits, Zone, ZoneOptions, bind, build};
use federation_types::ClusterName;
use federation_types::endpoint::{Clusters, Endpoint, Port, Slice};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(20);

fn zone(addresses: impl IntoIterator<Item = Ipv4Addr>) -> Zone {
    let cluster = ClusterName::new("east").unwrap();
    let endpoint = |address| Endpoint {
        addresses: vec![std::net::IpAddr::V4(address)],
        ready: true,
        serving: true,
        terminating: false,
        hostname: None,
        zone: None,
        pod: None,
    };
    let port = Port { name: "http".to_owned(), number: 8080, protocol: "TCP".to_owned(), app_protocol: None };
    let slice = Slice {
        cluster: cluster.clone(),
        namespace: "test".to_owned(),
        service: "web".to_owned(),
        ports: vec![port],
        endpoints: addresses.into_iter().map(endpoint).collect(),
    };
    let mut clusters = Clusters::new();
    let seen = clusters.entry(cluster).or_default();
    seen.complete = true;
    seen.slices.push(slice);
    let service = Service { namespace: "test".to_owned(), name: "web".to_owned(), headless: false };
    build(&ZoneOptions { max_addresses: 200, ..ZoneOptions::default() }, [&service], &clusters, 1)
}

struct Server {
    address: SocketAddr,
    zones: Arc<ArcSwap<Zone>>,
    metrics: Metrics,
    stop: CancellationToken,
    task: JoinHandle<Result<(), DnsError>>,
}

impl Server {
    fn start(config: DnsConfig, zone: Zone) -> Self {
        let bound = bind(config).unwrap();
        let (address, metrics) = (bound.addresses()[0], bound.metrics());
        let (zones, stop) = (Arc::new(ArcSwap::from_pointee(zone)), CancellationToken::new());
        let task = tokio::spawn(bound.serve(Arc::clone(&zones), stop.clone()));
        Self { address, zones, metrics, stop, task }
    }

    fn local(zone: Zone) -> Self {
        Self::start(DnsConfig::new(vec!["127.0.0.1:0".parse().unwrap()]), zone)
    }

    async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.task).await.expect("ends soon").unwrap().unwrap();
    }

    async fn udp(&self, query: &[u8]) -> Vec<u8> {
        let socket = UdpSocket::bind((self.address.ip(), 0)).await.unwrap();
        socket.connect(self.address).await.unwrap();
        socket.send(query).await.unwrap();
        let mut answer = vec![0; 4096];
        let length = tokio::time::timeout(PATIENCE, socket.recv(&mut answer)).await.expect("answered").unwrap();
        answer.truncate(length);
        answer
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

fn query(id: u16) -> Vec<u8> {
    let mut query = id.to_be_bytes().to_vec();
    query.extend_from_slice(b"\x01\0\0\x01\0\0\0\0\0\0\x03web\x04test\x03svc\x0aclusterset\x05local\0\0\x01\0\x01");
    query
}

fn framed(query: &[u8]) -> Vec<u8> {
    [&u16::try_from(query.len()).unwrap().to_be_bytes(), query].concat()
}

async fn receive(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let read = async {
        let mut answer = vec![0; usize::from(stream.read_u16().await.ok()?)];
        stream.read_exact(&mut answer).await.ok()?;
        Some(answer)
    };
    tokio::time::timeout(PATIENCE, read).await.expect("answered or closed")
}

fn answers(message: &[u8]) -> u16 {
    u16::from_be_bytes([message[6], message[7]])
}

fn truncated(message: &[u8]) -> bool {
    message[2] & 2 != 0
}

fn many() -> impl Iterator<Item = Ipv4Addr> {
    (1..=100).map(|n| Ipv4Addr::new(10, 0, 0, n))
}

#[tokio::test]
async fn both_transports_answer_on_one_port() {
    let server = Server::local(zone(many()));
    let udp = server.udp(&query(7)).await;
    assert!(truncated(&udp) && udp.len() <= 512);
    let mut stream = server.connect().await;
    stream.write_all(&framed(&query(8))).await.unwrap();
    let tcp = receive(&mut stream).await.unwrap();
    assert_eq!((&tcp[..2], truncated(&tcp), answers(&tcp)), (&[0, 8][..], false, 100));
    let mut text = String::new();
    server.metrics.render(&mut text);
    for line in ["{transport=\"udp\",rcode=\"NOERROR\"} 1", "{transport=\"tcp\",rcode=\"NOERROR\"} 1"] {
        assert!(text.contains(line), "{text}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_new_zone_is_answered_from_at_once() {
    let server = Server::local(zone([]));
    assert_eq!(server.udp(&query(1)).await[3] & 15, 3, "no such name yet");
    server.zones.store(Arc::new(zone([Ipv4Addr::new(10, 0, 0, 1)])));
    assert_eq!(answers(&server.udp(&query(1)).await), 1);
    server.zones.store(Arc::new(Zone::unknown(&ZoneOptions::default())));
    assert_eq!(server.udp(&query(1)).await[3] & 15, 2);
    server.stop().await;
}

#[tokio::test]
async fn garbage_over_udp_is_survived() {
    let server = Server::local(zone(many()));
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for garbage in [&[][..], &[0], &[0xFF; 4096], &[0; 11], &query(1)[..20]] {
        socket.send_to(garbage, server.address).await.unwrap();
    }
    assert!(answers(&server.udp(&query(1)).await) > 0);
    server.stop().await;
}

#[tokio::test]
async fn tcp_queries_are_pipelined_and_answered_in_order() {
    let server = Server::local(zone([Ipv4Addr::new(10, 0, 0, 1)]));
    let mut stream = server.connect().await;
    let all: Vec<u8> = (0..50).flat_map(|id| framed(&query(id))).collect();
    let (first, second) = all.split_at(all.len() / 2 + 1);
    stream.write_all(first).await.unwrap();
    stream.write_all(second).await.unwrap();
    for id in 0..50u16 {
        assert_eq!(receive(&mut stream).await.unwrap()[..2], id.to_be_bytes());
    }
    server.stop().await;
}

#[tokio::test]
async fn tcp_clients_have_limits() {
    let tcp = TcpLimits { connections: 2, per_address: 2, idle: Duration::from_millis(300), queries: 3 };
    let config = DnsConfig { tcp, ..DnsConfig::new(vec!["127.0.0.1:0".parse().unwrap()]) };
    let server = Server::start(config, zone([Ipv4Addr::new(10, 0, 0, 1)]));
    let mut stream = server.connect().await;
    for id in 0..5 {
        // The server may close before it has read everything.
        if stream.write_all(&framed(&query(id))).await.is_err() {
            break;
        }
    }
    let mut answered = 0;
    while receive(&mut stream).await.is_some() {
        answered += 1;
    }
    assert_eq!(answered, 3, "queries of one connection");
    for bad in [&[0xFF, 0xFF, 0, 0][..], &[0, 0], &[0, 3, 1, 2, 3], &[0, 30, 1]] {
        let mut stream = server.connect().await;
        stream.write_all(bad).await.unwrap();
        assert_eq!(receive(&mut stream).await, None, "{bad:?} ends the connection, if only after a while");
    }
    // The seats of all those are free again.
    let mut stream = server.connect().await;
    stream.write_all(&framed(&query(9))).await.unwrap();
    assert!(receive(&mut stream).await.is_some());
    server.stop().await;
}

#[tokio::test]
async fn several_threads_share_a_port_and_shutdown_is_prompt() {
    let config = DnsConfig { udp_threads: 3, ..DnsConfig::new(vec!["127.0.0.1:0".parse().unwrap()]) };
    let server = Server::start(config, zone([Ipv4Addr::new(10, 0, 0, 1)]));
    for id in 0..30 {
        assert_eq!(answers(&server.udp(&query(id)).await), 1);
    }
    let (address, since) = (server.address, std::time::Instant::now());
    server.stop().await;
    assert!(since.elapsed() < Duration::from_secs(5));
    drop(bind(DnsConfig::new(vec![address])).expect("the port is free again"));
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let server = Server::local(zone([]));
    let refused = bind(DnsConfig::new(vec![server.address])).unwrap_err();
    assert!(refused.to_string().contains(&server.address.to_string()), "{refused}");
    assert!(matches!(bind(DnsConfig::new(Vec::new())), Err(DnsError::NoAddress)));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dig_understands_the_answers() {
    if Command::new("dig").arg("-v").output().is_err() {
        println!("skipped: there is no dig here");
        return;
    }
    let server = Server::local(zone(many()));
    let name = "web.test.svc.clusterset.local";
    let cases: [(&[&str], &[&str]); 8] = [
        (&["+short", name], &["10.0.0.1\n", "10.0.0.100\n"]),
        (&["+notcp", "+ignore", name], &["flags: qr aa tc rd;", "status: NOERROR", "udp: 1232"]),
        (&["+noedns", "+notcp", "+ignore", name], &["flags: qr aa tc rd;", "ANSWER: 29,"]),
        (&["+tcp", name], &["ANSWER: 100,"]),
        (&["SRV", "_http._tcp.web.test.svc.clusterset.local"], &["0 100 8080 web.test.svc.clusterset.local."]),
        (&["nope.test.svc.clusterset.local"], &["status: NXDOMAIN", "SOA\tns.dns.clusterset.local. hostmaster"]),
        (&["+edns=1", "+noednsneg", name], &["status: BADVERS"]),
        (&["example.com"], &["status: REFUSED"]),
    ];
    for (args, expected) in cases {
        let (port, args) = (server.address.port().to_string(), args.to_vec());
        let dig = tokio::task::spawn_blocking(move || {
            Command::new("dig").args(["@127.0.0.1", "-p", &port, "+tries=1", "+time=5"]).args(args).output()
        });
        let output = String::from_utf8(dig.await.unwrap().unwrap().stdout).unwrap();
        for part in expected {
            assert!(output.contains(part), "{part:?} is not in\n{output}");
        }
    }
    server.stop().await;
}
