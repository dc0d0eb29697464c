//! A drain, and the sockets in the hands of a second data plane: nobody's request is lost on the way.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ingress::Listen;
use ingress::metrics::Count;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::fixture::{Gate, PATIENCE, Upstream, read_head, snapshot};
use crate::h2::websocket_endpoint;
use crate::tunnels::{echoes, ended, over_http1};

/// Clients that ask without a pause until told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    clients: JoinSet<Result<(), String>>,
}

impl Load {
    /// Half of them keep their connection as long as they may, half open one for each request.
    fn start(to: SocketAddr, clients: usize) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut set = JoinSet::new();
        for number in 0..clients {
            let (stop, answered) = (stop.clone(), answered.clone());
            set.spawn(async move {
                let mut kept = None;
                while !stop.load(Ordering::Relaxed) {
                    kept = one(to, kept, number % 2 == 0).await?;
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            });
        }
        Self { stop, answered, clients: set }
    }

    async fn more(&self, count: usize) {
        let (began, wanted) = (Instant::now(), self.answered.load(Ordering::Relaxed) + count);
        while self.answered.load(Ordering::Relaxed) < wanted {
            assert!(began.elapsed() < PATIENCE, "the clients are stuck");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn end(mut self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.clients.join_next().await {
            ended.expect("no panic").expect("no request fails");
        }
        self.answered.load(Ordering::Relaxed)
    }
}

/// One request, over a kept connection if there is one; gives the connection back if it goes on.
async fn one(to: SocketAddr, kept: Option<TcpStream>, keep: bool) -> Result<Option<TcpStream>, String> {
    let failed = |what: &str| {
        let what = what.to_owned();
        move |error: std::io::Error| format!("{what}: {error}")
    };
    let mut stream = match kept {
        Some(stream) => stream,
        None => TcpStream::connect(to).await.map_err(failed("connect"))?,
    };
    let close = if keep { "" } else { "Connection: close\r\n" };
    let request = format!("GET / HTTP/1.1\r\nHost: h\r\n{close}\r\n");
    stream.write_all(request.as_bytes()).await.map_err(failed("write"))?;
    let head = read_head(&mut stream).await.to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
    let (true, Some(length)) = (head.starts_with("http/1.1 200"), length) else {
        return Err(format!("instead of an answer: {head:?}"));
    };
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.map_err(failed("body"))?;
    Ok((!head.contains("connection: close")).then_some(stream))
}

/// Ingress: 54, 76
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_data_plane_takes_the_sockets_and_no_request_is_lost() {
    let (good, chat) = (Upstream::start("good").await, websocket_endpoint().await);
    let mut old = Gate::start(&snapshot(&[chat]), |config| {
        config.share = true;
        config.timeouts.drain = Duration::from_secs(3);
    });
    let mut tunnel = over_http1(&old).await;
    old.swap(&[good.address]);
    let shared: Vec<TcpListener> = std::mem::take(&mut old.running.shared);
    let load = Load::start(old.http, 8);
    load.more(200).await;

    let hold = CancellationToken::new();
    let mut sockets = shared.into_iter().map(|socket| vec![Listen::Socket(socket)]);
    let new = Gate::start(&snapshot(&[good.address]), |config| {
        (config.http, config.https) = (sockets.next().expect("http"), sockets.next().expect("https"));
        config.hold = Some(hold.clone());
    });
    assert_eq!((new.http, new.https), (old.http, old.https));
    load.more(200).await;
    assert_eq!(new.running.metrics.get(Count::Connection), 0, "it waits for its word");
    hold.cancel();
    load.more(200).await;
    old.shutdown.cancel();
    let taken = new.running.metrics.get(Count::Connection);
    // Past the time that clients of the old one get to hear of it.
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        load.more(50).await;
    }
    assert!(echoes(&mut *tunnel).await, "the old one keeps its tunnels");
    assert!(load.end().await > 1000);
    assert!(new.running.metrics.get(Count::Connection) > taken);
    ended(&mut *tunnel).await;
}

/// Ingress: 76
#[tokio::test]
async fn who_is_silent_at_a_drain_may_ask_once_more() {
    let good = Upstream::start("good").await;
    let gate = Gate::start(&snapshot(&[good.address]), |config| config.timeouts.drain = Duration::from_secs(4));
    let (mut new, mut idle) =
        (TcpStream::connect(gate.http).await.expect("connect"), TcpStream::connect(gate.http).await.expect("connect"));
    let mut kept = one(gate.http, None, true).await.expect("an answer").expect("it goes on");
    gate.shutdown.cancel();
    while TcpStream::connect(gate.http).await.is_ok() {}
    for stream in [&mut new, &mut kept] {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.expect("written");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer and an end");
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("connection: close"), "{answer}");
    }
    let waits = Instant::now();
    assert_eq!(idle.read(&mut [0; 8]).await.expect("closed"), 0, "who stays silent is let go");
    assert!(waits.elapsed() < Duration::from_secs(4), "before the drain's limit");
}
