//! Endpoints whose machine is gone: packets to it vanish, as those to a member behind a broken network do.
//!
//! Beside them the slow ones that must not be taken for such: who takes its time, and who reads nothing for a while.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ingress::failure::Cause;
use parking_lot::Mutex;
use socket2::{SockFilter, SockRef, Socket};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::delivery::answering;
use crate::fixture::{Gate, PATIENCE, Upstream, ask, read_head, snapshot};
use crate::policies::with;
use crate::wires;

/// Options that send a request the short way and the general way.
const WAYS: [&str; 2] = ["close", "close, x-nothing"];

/// A machine that serves connections until its packets vanish.
struct Machine {
    address: SocketAddr,
    /// The listener and every connection.
    sockets: Arc<Mutex<Vec<Socket>>>,
    accepted: Arc<AtomicUsize>,
}

impl Machine {
    async fn start<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let same = |socket: SockRef<'_>| socket.try_clone().expect("a descriptor");
        let sockets = Arc::new(Mutex::new(vec![same(SockRef::from(&listener))]));
        let accepted = Arc::new(AtomicUsize::new(0));
        let machine = Self { address, sockets: sockets.clone(), accepted: accepted.clone() };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                sockets.lock().push(same(SockRef::from(&stream)));
                accepted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream));
            }
        });
        machine
    }

    /// Packets arrive again.
    fn comes_back(&self) {
        for socket in &*self.sockets.lock() {
            socket.detach_filter().expect("there was one");
        }
    }

    /// From here on no packet arrives.
    fn vanish(&self) {
        for socket in &*self.sockets.lock() {
            socket.attach_filter(&[SockFilter::new(0x06, 0, 0, 0)]).expect("a filter that drops everything");
        }
    }
}

/// Answers every request of a connection at once.
async fn answers(mut stream: TcpStream) {
    while !read_head(&mut stream).await.is_empty() {
        if stream.write_all(answering(201).as_bytes()).await.is_err() {
            return;
        }
    }
}

fn request(method: &str, connection: &str) -> String {
    format!("{method} / HTTP/1.1\r\nHost: any\r\nContent-Length: 0\r\nConnection: {connection}\r\n\r\n")
}

/// Both endpoints have answered, so that connections to them are kept.
async fn warm(gate: &Gate, connection: &str, machine: &Machine) {
    let began = Instant::now();
    while machine.accepted.load(Ordering::SeqCst) == 0 {
        assert!(ask(gate.http, &request("GET", connection)).await.status < 300);
        assert!(began.elapsed() < PATIENCE);
    }
}

/// Ingress: 61, 62
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_to_a_machine_that_vanished_are_answered_elsewhere_long_before_their_time_is_over() {
    for connection in WAYS {
        let (good, bad) = (Upstream::start("good").await, Machine::start(answers).await);
        let gate = Gate::start(&snapshot(&[bad.address, good.address]), |config| config.workers = 1);
        warm(&gate, connection, &bad).await;
        bad.vanish();
        let began = Instant::now();
        let mut asked = tokio::task::JoinSet::new();
        for _ in 0..40 {
            let (to, text) = (gate.http, request("GET", connection));
            asked.spawn(async move {
                let began = Instant::now();
                (ask(to, &text).await.status, began.elapsed())
            });
        }
        let all = asked.join_all().await;
        let longest = all.iter().map(|(_, took)| *took).max().expect("there are some");
        println!("{connection}: the longest of 40 requests took {longest:?}");
        assert!(all.iter().all(|(status, _)| *status == 200), "{all:?}");
        assert!(began.elapsed() < Duration::from_secs(60), "the time for an answer was not waited for");
        let metrics = &gate.running.metrics;
        assert!(metrics.failures(Cause::Vanished) >= 1);
        assert_eq!(metrics.failures(Cause::ResponseTimeout), 0);
        // Nobody starts there any more.
        let (before, elsewhere) = (metrics.failures(Cause::Vanished), good.seen());
        for _ in 0..10 {
            assert_eq!(ask(gate.http, &request("POST", connection)).await.status, 200);
        }
        assert_eq!((metrics.failures(Cause::Vanished), good.seen()), (before, elsewhere + 10));
    }
}

/// Who has no other try loses by giving up early: it waits as long as who may not be sent twice.
///
/// Ingress: 61, 62
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_try_outlasts_a_moment_in_which_nothing_arrives() {
    for connection in WAYS {
        let (one, two) = (Machine::start(answers).await, Machine::start(answers).await);
        let once = with(snapshot(&[one.address, two.address]), &[("proxy-next-upstream-tries", "1")]);
        let gate = Gate::start(&once, |config| config.workers = 1);
        let text = request("GET", connection).replace("any", "a.example");
        while one.accepted.load(Ordering::SeqCst) == 0 || two.accepted.load(Ordering::SeqCst) == 0 {
            assert_eq!(ask(gate.http, &text).await.status, 201);
        }
        one.vanish();
        two.vanish();
        let back = async {
            tokio::time::sleep(Duration::from_millis(900)).await;
            one.comes_back();
            two.comes_back();
        };
        let (answer, ()) = tokio::join!(ask(gate.http, &text), back);
        assert_eq!(answer.status, 201, "{connection}: {}", answer.body);
    }
}

/// Ingress: 60, 62
#[tokio::test]
async fn what_a_vanished_machine_may_have_heard_is_not_sent_again() {
    for connection in WAYS {
        let (good, bad) = (Upstream::start("good").await, Machine::start(answers).await);
        let gate = Gate::start(&snapshot(&[bad.address, good.address]), |config| {
            config.workers = 1;
            config.timeouts.unacknowledged = Duration::from_millis(200);
        });
        warm(&gate, connection, &bad).await;
        bad.vanish();
        let began = Instant::now();
        let lost = loop {
            let answer = ask(gate.http, &request("POST", connection)).await;
            if answer.status != 200 {
                break answer;
            }
            assert!(began.elapsed() < PATIENCE);
        };
        assert_eq!((lost.status, lost.body.trim()), (504, "504 the endpoint's machine went silent"), "{connection}");
        assert_eq!(gate.running.metrics.failures(Cause::Vanished), 1);
    }
}

/// Ingress: 61
#[tokio::test]
async fn an_http2_endpoint_that_vanished_is_left_by_all_streams() {
    let (good, bad) = (wires::h2_machine().await, Machine::start(wires::h2_answers).await);
    let snapshot = wires::speaking("kubernetes.io/h2c", &[bad.address, good]);
    let gate = Gate::start(&snapshot, |config| config.workers = 1);
    warm(&gate, "close", &bad).await;
    bad.vanish();
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (to, text) = (gate.http, "GET / HTTP/1.1\r\nHost: any\r\nConnection: close\r\n\r\n");
        asked.spawn(async move { ask(to, text).await.status });
    }
    let all = asked.join_all().await;
    assert!(all.iter().all(|status| *status == 200), "{all:?}");
    assert!(gate.running.metrics.failures(Cause::Vanished) >= 1);
}

/// Ingress: 61
#[tokio::test]
async fn who_already_waits_on_a_machine_is_moved_once_others_find_it_gone() {
    for connection in WAYS {
        let taken = Arc::new(AtomicUsize::new(0));
        let count = taken.clone();
        // What it is asked with a DELETE it acknowledges, and works on it for ever.
        let bad = Machine::start(move |mut stream| {
            let count = count.clone();
            async move {
                loop {
                    let head = read_head(&mut stream).await;
                    if head.starts_with("DELETE") {
                        count.fetch_add(1, Ordering::SeqCst);
                        return std::future::pending().await;
                    }
                    if head.is_empty() || stream.write_all(answering(201).as_bytes()).await.is_err() {
                        return;
                    }
                }
            }
        })
        .await;
        let good = Upstream::start("good").await;
        let gate = Gate::start(&snapshot(&[bad.address, good.address]), |config| config.workers = 1);
        let to = gate.http;
        let (mut waiting, began) = (tokio::task::JoinSet::new(), Instant::now());
        while taken.load(Ordering::SeqCst) == 0 {
            waiting.spawn(async move { ask(to, &request("DELETE", connection)).await.status });
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert!(began.elapsed() < PATIENCE);
        }
        // Another connection is kept.
        while bad.accepted.load(Ordering::SeqCst) < 2 {
            assert!(ask(to, &request("GET", connection)).await.status < 300);
            assert!(began.elapsed() < PATIENCE);
        }
        bad.vanish();
        while gate.running.metrics.failures(Cause::Vanished) == 0 {
            assert!(ask(to, &request("GET", connection)).await.status < 300);
            assert!(began.elapsed() < PATIENCE);
        }
        let all = tokio::time::timeout(PATIENCE, waiting.join_all()).await.expect("nobody is left there");
        assert!(all.iter().all(|status| *status < 300), "{all:?}");
        assert_eq!(gate.running.metrics.failures(Cause::ResponseTimeout), 0);
    }
}

/// Ingress: 61
#[tokio::test]
async fn who_only_takes_its_time_has_it() {
    for connection in WAYS {
        // Far longer than anything that vanished is waited for here.
        let slow = || {
            Machine::start(|mut stream| async move {
                while !read_head(&mut stream).await.is_empty() {
                    tokio::time::sleep(Duration::from_secs(2)).await;
                    if stream.write_all(answering(201).as_bytes()).await.is_err() {
                        return;
                    }
                }
            })
        };
        let both = [slow().await, slow().await];
        let gate = Gate::start(&snapshot(&both.each_ref().map(|machine| machine.address)), |config| {
            config.timeouts.unacknowledged = Duration::from_millis(200);
        });
        let asked = ["GET", "POST"]
            .map(|method| tokio::spawn(async move { ask(gate.http, &request(method, connection)).await.status }));
        for asked in asked {
            assert_eq!(asked.await.expect("no panic"), 201, "{connection}");
        }
        let sent: usize = both.iter().map(|machine| machine.accepted.load(Ordering::SeqCst)).sum();
        assert_eq!((sent, gate.running.metrics.failures(Cause::Vanished)), (2, 0));
    }
}

/// Ingress: 58, 61
#[tokio::test]
async fn an_upload_that_is_not_read_for_a_while_goes_on_when_it_is() {
    const LENGTH: usize = 16 * 1024 * 1024;
    let still = |mut stream: TcpStream| async move {
        read_head(&mut stream).await;
        // Its window is closed for far longer than anything that vanished is waited for here.
        tokio::time::sleep(Duration::from_secs(3)).await;
        let mut body = vec![0; LENGTH];
        stream.read_exact(&mut body).await.expect("all of it");
        stream.write_all(answering(201).as_bytes()).await.expect("written");
    };
    let both = [Machine::start(still).await, Machine::start(still).await];
    let gate = Gate::start(&snapshot(&both.each_ref().map(|machine| machine.address)), |config| {
        config.timeouts.unacknowledged = Duration::from_millis(200);
    });
    let mut upload = TcpStream::connect(gate.http).await.expect("connect");
    let head = format!("PUT / HTTP/1.1\r\nHost: any\r\nConnection: close\r\nContent-Length: {LENGTH}\r\n\r\n");
    upload.write_all(head.as_bytes()).await.expect("written");
    upload.write_all(&vec![b'x'; LENGTH]).await.expect("taken in the end");
    let answer = tokio::time::timeout(PATIENCE, read_head(&mut upload)).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
}
