//! Rounds of faults, one after the other: none of them leaves a descriptor, a thread or much memory behind.
//!
//! Alone in its process, since it counts what the process holds. `cargo xtask soak` does the same to the whole gateway, for
//! as long as one likes.

#[allow(dead_code)] // the other tests use the rest
#[path = "../data_plane/fixture.rs"]
mod fixture;

use std::time::{Duration, Instant};

use fixture::{Gate, PATIENCE, Upstream, ask, read_head, scripted};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Rounds after those in which pools and buffers grow to their size.
const ROUNDS: usize = 8;
const WARM: usize = 3;
/// Requests of each kind in a round.
const REQUESTS: usize = 60;
/// Bytes by which the process may grow over all rounds: allocators keep some of what was given back.
const GROWTH: u64 = 24 << 20;

/// Ingress: 80
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rounds_of_faults_leave_nothing_behind() {
    let breaking = scripted(|mut stream, _, _| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf").await.expect("written");
    })
    .await;
    let mut address = Upstream::start("a").await.fail().await;
    let gate = Gate::to(&[address]);
    let mut after = Vec::new();
    for round in 0..WARM + ROUNDS {
        let up = Upstream::on("a", address).await;
        gate.swap(&[up.address]);
        requests(&gate).await;
        gate.swap(&[breaking]);
        for _ in 0..REQUESTS {
            ask(gate.http, "GET /breaks HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
        }
        gate.swap(&[up.address]);
        address = up.fail().await;
        for _ in 0..REQUESTS {
            let answer = gate.get("/down").await;
            assert!(matches!(answer.status, 502 | 503), "{answer:?}");
        }
        settled(&gate).await;
        after.push(held());
        if round >= WARM {
            let (first, last) = (&after[WARM - 1], &after[round]);
            assert!(last.descriptors <= first.descriptors + 2, "round {round}: {first:?} {last:?}");
            assert_eq!(last.threads, first.threads, "round {round}");
        }
    }
    let (first, last) = (&after[WARM - 1], &after[WARM + ROUNDS - 1]);
    assert!(last.bytes <= first.bytes + GROWTH, "{after:?}");
}

/// What clients do: they ask, send, pipeline, leave in the middle, and say nothing or nonsense.
async fn requests(gate: &Gate) {
    let mut kept = TcpStream::connect(gate.http).await.expect("connect");
    for number in 0..REQUESTS {
        let body = "x".repeat(number * 1000);
        let head = format!("POST /kept HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        kept.write_all(head.as_bytes()).await.expect("written");
        let head = read_head(&mut kept).await.to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 200"), "{head}");
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()).expect("a length");
        kept.read_exact(&mut vec![0; length.parse().expect("a number")]).await.expect("a body");
    }
    for (number, begun) in [
        "GET /left HTTP/1.1\r\nHost: h\r\n\r\n",
        "POST /left HTTP/1.1\r\nHost: h\r\nContent-Length: 9999\r\n\r\nhalf",
        "POST /left HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        "GET /left HTTP/1.1\r\nHo",
        "\0nonsense\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "",
    ]
    .iter()
    .cycle()
    .take(REQUESTS * 2)
    .enumerate()
    {
        let mut stream = TcpStream::connect(gate.http).await.expect("connect");
        stream.write_all(begun.as_bytes()).await.expect("written");
        if number % 2 == 0 {
            tokio::task::yield_now().await;
        }
    }
}

/// Waits until no client is left and kept connections have had their time.
async fn settled(gate: &Gate) {
    let began = Instant::now();
    while gate.running.metrics.open_connections() > 0 {
        assert!(began.elapsed() < PATIENCE, "{} connections stay", gate.running.metrics.open_connections());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let quiet = || descriptors();
    let mut last = quiet();
    loop {
        // Pools are swept once a second.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let now = quiet();
        if now >= last {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{now} descriptors");
        last = now;
    }
}

#[derive(Debug)]
struct Held {
    descriptors: usize,
    threads: usize,
    bytes: u64,
}

fn held() -> Held {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect(name);
        line.split_whitespace().next().and_then(|text| text.parse::<u64>().ok()).expect("a number")
    };
    let threads = usize::try_from(field("Threads:")).expect("few");
    Held { descriptors: descriptors(), threads, bytes: field("VmRSS:") * 1024 }
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("Linux tells").count()
}
