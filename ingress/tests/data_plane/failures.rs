//! What goes wrong with endpoints, what the client sees of it, and what the metric calls it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use federation_types::endpoint::group;
use federation_types::label;
use ingress::failure::Cause;
use ingress::metrics::Count;
use ingress::route::{Affinity, CookieSettings, Delivery, Ejection, Retries, Upkeep};
use ingress::snapshot::{Named, ServiceObject};
use ingress::{BuildOptions, Snapshot, build};
use serde_json::json;
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::delivery::{NAMED, answering, delivering, gate, route, speaking};
use crate::fixture::{Gate, PATIENCE, Upstream, ask, options, read_head, scripted, snapshot};

pub async fn closed() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.expect("a free port").local_addr().expect("bound")
}

fn retrying(words: &str) -> BuildOptions {
    delivering(Delivery { retries: words.parse().expect(words), ..Delivery::default() })
}

/// Ingress: 62
#[tokio::test]
async fn every_failure_has_its_own_reason_in_the_metric() {
    let reset = scripted(|stream, _, _| async move {
        stream.set_zero_linger().expect("a socket");
    })
    .await;
    let silent = scripted(|stream, _, _| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    for (address, status, cause) in [
        (closed().await, 502, Cause::ConnectRefused),
        (reset, 502, Cause::Reset),
        (scripted(|stream, _, _| async move { drop(stream) }).await, 502, Cause::Closed),
        (speaking(|_| "nonsense\r\n\r\n".to_owned()).await, 502, Cause::BadAnswer),
        (silent, 504, Cause::ResponseTimeout),
        (speaking(|_| answering(500)).await, 500, Cause::Endpoint500),
        (speaking(|_| answering(502)).await, 502, Cause::Endpoint502),
        (speaking(|_| answering(503)).await, 503, Cause::Endpoint503),
        (speaking(|_| answering(504)).await, 504, Cause::Endpoint504),
        (speaking(|_| answering(599)).await, 599, Cause::Endpoint5xx),
    ] {
        let short = Duration::from_millis(100);
        let gate = Gate::start(&snapshot(&[address]), |config| config.timeouts.response = short);
        // A POST, so that nothing hides behind a second try.
        let post = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        assert_eq!(ask(gate.http, post).await.status, status, "{cause:?}");
        assert_eq!(gate.running.metrics.failures(cause), 1, "{cause:?}");
        let mut text = String::new();
        gate.running.metrics.render(&mut text);
        let line = format!("fedgate_ingress_upstream_failures_total{{reason=\"{}\"}} 1\n", cause.word());
        assert!(text.contains(&line), "{line}");
    }
    // TLS that the other side does not speak.
    let mut given = snapshot(&[Upstream::start("plain").await.address]);
    let object = json!({"metadata": {"namespace": "n", "name": "web"}, "spec": {"ports": [{"port": 80, "appProtocol": "https"}]}});
    given.services.insert(Named::new("n", "web"), Arc::new(ServiceObject::read(&object)));
    let gate = Gate::to(&[]);
    gate.routes.store(Arc::new(build(&given, None, &options())));
    assert_eq!(gate.get("/").await.status, 502);
    assert_eq!(gate.running.metrics.failures(Cause::TlsFailed), 1);
}

/// Ingress: 60, 61
#[tokio::test]
async fn answers_are_asked_for_again_only_where_the_route_says_so() {
    let good = Upstream::start("good").await;
    let ill = speaking(|_| answering(503)).await;
    for (words, method, wanted) in [
        ("error timeout", "GET", 503),
        ("error http_503", "GET", 200),
        ("error http_502", "GET", 503),
        ("http_503", "POST", 503),
        ("http_503 non_idempotent", "POST", 200),
        ("http_503 off", "GET", 503),
    ] {
        let gate = gate(&[ill, good.address], &retrying(words));
        let request = format!("{method} / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        let answers = [ask(gate.http, &request).await, ask(gate.http, &request).await];
        let worst = answers.iter().map(|answer| answer.status).max();
        assert_eq!(worst, Some(wanted), "{words} {method}");
        if wanted == 200 {
            let seen: Vec<_> = answers.iter().map(|a| a.json()["headers"]["x-fedgate-attempt"].clone()).collect();
            assert!(seen.contains(&json!("2")) && seen.contains(&json!(null)), "{seen:?}");
        }
    }
    // Nobody else is left: the endpoint's own answer comes through.
    let ills = [ill, speaking(|_| answering(503)).await];
    let answer = gate(&ills, &retrying("http_503")).get("/").await;
    assert_eq!((answer.status, answer.body.as_str()), (503, "ok"));
}

/// Ingress: 60
#[tokio::test]
async fn bounds_of_tries_and_time_hold_and_off_is_off() {
    let dying = || scripted(|stream, _, _| async move { drop(stream) });
    let (counter, good) = (Arc::new(AtomicUsize::new(0)), Upstream::start("good").await);
    for (retries, bad, wanted) in [
        ("error".parse::<Retries>().expect("words").bounded(Some(1), None), 1, 502),
        ("error".parse::<Retries>().expect("words").bounded(Some(2), None), 1, 200),
        ("error".parse::<Retries>().expect("words").bounded(Some(2), None), 2, 502),
        ("error".parse::<Retries>().expect("words").bounded(Some(0), None), 5, 200),
        ("error".parse::<Retries>().expect("words").bounded(None, Some(Duration::from_nanos(1))), 1, 502),
        ("timeout".parse::<Retries>().expect("words"), 1, 502),
        ("off".parse::<Retries>().expect("words"), 1, 502),
    ] {
        counter.fetch_add(1, Ordering::SeqCst);
        let mut all = Vec::new();
        for _ in 0..bad {
            all.push(dying().await);
        }
        all.push(good.address);
        let gate = gate(&all, &delivering(Delivery { retries: retries.clone(), ..Delivery::default() }));
        assert_eq!(gate.get("/").await.status, wanted, "{retries:?} with {bad}");
    }
    // Refused connects cost nothing, so that they are no tries; off is off for them, too.
    let mut all = Vec::new();
    for _ in 0..6 {
        all.push(closed().await);
    }
    all.push(good.address);
    let post = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi";
    assert_eq!(ask(gate(&all, &options()).http, post).await.status, 200);
    assert_eq!(ask(gate(&all, &retrying("off")).http, post).await.status, 502);
}

/// Ingress: 59, 60
#[tokio::test]
async fn a_body_is_sent_again_only_where_the_route_keeps_it_and_as_far_as_it_does() {
    let good = Upstream::start("good").await;
    // Reads the head, or the whole request, and goes away without an answer.
    let early = || scripted(|stream, _, _| async move { drop(stream) });
    let late = || {
        scripted(|mut stream, _, _| async move {
            let mut body = vec![0; 3000];
            let ended = stream.read_exact(&mut body).await;
            drop((ended, stream));
        })
    };
    let chunks = format!(
        "Transfer-Encoding: chunked\r\n\r\n{}0\r\nX-End: 1\r\n\r\n",
        format!("3E8\r\n{}\r\n", "x".repeat(1000)).repeat(3)
    );
    let length = format!("Content-Length: 3000\r\n\r\n{}", "x".repeat(3000));
    for (words, method, replay, wanted) in [
        ("error", "PUT", 0, 502),
        ("error", "PUT", 64 * 1024, 200),
        ("error", "PUT", 2000, 502),
        ("error", "POST", 64 * 1024, 502),
        ("error non_idempotent", "POST", 64 * 1024, 200),
    ] {
        for (bad, body) in [(early().await, &length), (late().await, &length), (late().await, &chunks)] {
            let retries = words.parse::<Retries>().expect(words).replaying(replay);
            let gate = gate(&[bad, good.address], &delivering(Delivery { retries, ..Delivery::default() }));
            let request = format!("{method} /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{body}");
            let answer = ask(gate.http, &request).await;
            assert_eq!(answer.status, wanted, "{words} {method} {replay}: {answer:?}");
            if wanted == 200 {
                let seen = answer.json();
                assert_eq!((seen["length"].as_u64(), seen["method"].as_str()), (Some(3000), Some(method)));
            }
        }
    }
}

/// Ingress: 59
#[tokio::test]
async fn a_kept_connection_that_dies_under_a_request_is_replaced_at_the_same_endpoint() {
    // Each connection answers once and drops the second request unanswered.
    let seen = Arc::new(AtomicUsize::new(0));
    let counter = seen.clone();
    let address = scripted(move |mut stream, _, _| {
        let counter = counter.clone();
        async move {
            counter.fetch_add(1, Ordering::SeqCst);
            stream.write_all(answering(200).as_bytes()).await.expect("written");
            read_head(&mut stream).await;
        }
    })
    .await;
    let others = [speaking(|_| answering(201)).await, speaking(|_| answering(201)).await];
    let affine = Affinity::new(CookieSettings { mode: Some("persistent"), ..NAMED });
    let affinity = Some(Arc::new(affine.expect("good settings")));
    let gate = gate(&[address, others[0], others[1]], &delivering(Delivery { affinity, ..Delivery::default() }));
    let ticket = loop {
        let answer = gate.get("/").await;
        if answer.status == 200 {
            let cookie = answer.head.split("set-cookie: ").nth(1).and_then(|rest| rest.split(';').next());
            break cookie.expect("a session begins").to_owned();
        }
    };
    for _ in 0..10 {
        let request = format!("GET / HTTP/1.1\r\nHost: h\r\nCookie: {ticket}\r\nConnection: close\r\n\r\n");
        assert_eq!(ask(gate.http, &request).await.status, 200, "the session's own endpoint answers");
    }
    assert_eq!(gate.running.metrics.get(Count::Ejection), 0, "that is no sign of ill health");
    assert!(seen.load(Ordering::SeqCst) >= 10);
}

/// Ingress: 66
#[tokio::test]
async fn no_request_waits_for_an_endpoint_that_is_still_away() {
    let (good, bad) = (Upstream::start("good").await, Upstream::start("bad").await);
    let ejection = Ejection { base: 300, longest: 600, ..Ejection::default() };
    let upkeep = Upkeep { ejection, ..Upkeep::default() };
    let gate = gate(&[bad.address, good.address], &BuildOptions { upkeep, ..options() });
    let address = bad.fail().await;
    let mut ejections = Vec::new();
    let began = Instant::now();
    // Until two trials have failed.
    while ejections.len() < 3 {
        assert_eq!(gate.get("/").await.status, 200);
        tokio::time::sleep(Duration::from_millis(5)).await;
        let (count, retries) = (gate.running.metrics.get(Count::Ejection), gate.running.metrics.get(Count::Retry));
        if ejections.last().is_none_or(|(last, _)| *last != count) && count > 0 {
            ejections.push((count, retries));
        }
        assert!(began.elapsed() < PATIENCE);
    }
    let retries: Vec<u64> = ejections.iter().map(|(_, retries)| *retries).collect();
    assert_eq!(retries[0], retries[2], "only the first failure met a request: {ejections:?}");
    let _back = Upstream::on("bad", address).await;
    while gate.get("/").await.name() != "bad" {
        assert!(began.elapsed() < PATIENCE);
    }
    assert_eq!(gate.running.metrics.get(Count::Retry), retries[0]);
}

/// An address that lets nobody in and turns nobody away: its queue is full, further packets are dropped.
async fn swallowing() -> (SocketAddr, Vec<Box<dyn Send>>) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a free port");
    socket.listen(0).expect("listening");
    let address = socket.local_addr().expect("bound").as_socket().expect("an address");
    let mut held: Vec<Box<dyn Send>> = vec![Box::new(socket)];
    while let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
        held.push(Box::new(stream));
    }
    (address, held)
}

/// Ingress: 61, 62
#[tokio::test]
async fn a_cluster_whose_packets_vanish_costs_one_wait_and_no_request() {
    let (good, (lost, _held)) = (Upstream::start("good").await, swallowing().await);
    let gate = Gate::start(&snapshot(&[lost, good.address]), |config| {
        config.timeouts.connect = Duration::from_millis(300);
    });
    let mut waited = 0;
    for _ in 0..60 {
        let began = Instant::now();
        let post = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi";
        assert_eq!(ask(gate.http, post).await.status, 200);
        waited += usize::from(began.elapsed() >= Duration::from_millis(300));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let metrics = &gate.running.metrics;
    assert_eq!(metrics.failures(Cause::ConnectTimeout), 1, "found out once by a request, then beside them");
    assert!(waited >= 1 && metrics.get(Count::Retry) == 1, "{waited}");
}

/// Ingress: 64
#[tokio::test]
async fn connections_to_who_is_gone_are_closed_and_an_address_passes_on_nothing() {
    let (made, open) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (making, opening) = (made.clone(), open.clone());
    let address = scripted(move |mut stream, mut head, _| {
        making.fetch_add(1, Ordering::SeqCst);
        opening.fetch_add(1, Ordering::SeqCst);
        let opening = opening.clone();
        async move {
            while !head.is_empty() && stream.write_all(answering(200).as_bytes()).await.is_ok() {
                head = read_head(&mut stream).await;
            }
            opening.fetch_sub(1, Ordering::SeqCst);
        }
    })
    .await;
    let of = |pod: &str| {
        let mut slice = json!({
            "metadata": {"namespace": "n", "name": "web-1.c0", "labels": {
                "kubernetes.io/service-name": "web", label::CLUSTER: "c0", label::HUB: "uid",
            }},
            "addressType": "IPv4",
            "ports": [{"port": address.port()}],
            "endpoints": [{"addresses": ["127.0.0.1"]}],
        });
        slice["endpoints"][0]["targetRef"] = json!({"kind": "Pod", "name": pod});
        let mut given = snapshot(&[]);
        given.clusters = group(&[slice]);
        given
    };
    let gate = Gate::to(&[]);
    let turn = |given: &Snapshot| {
        let before = gate.routes.load_full();
        gate.routes.store(Arc::new(build(given, Some(&before), &options())));
    };
    // One connection to the gate, so that one worker's pool is used.
    let mut stream = TcpStream::connect(gate.http).await.expect("connect");
    let mut ask = async || {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.expect("written");
        let head = read_head(&mut stream).await.to_ascii_lowercase();
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
        let mut body = vec![0; length.expect("a length").parse().expect("a number")];
        stream.read_exact(&mut body).await.expect("a body");
        head.starts_with("http/1.1 200")
    };
    let connections = || made.load(Ordering::SeqCst);
    turn(&of("one"));
    assert!(ask().await && ask().await);
    assert_eq!(connections(), 1, "a connection is kept");
    turn(&of("one"));
    assert!(ask().await && connections() == 1, "a rebuild changes nothing");
    // Another pod has got the address.
    turn(&of("two"));
    assert!(ask().await);
    assert_eq!(connections(), 2, "what was kept for the other pod is not for this one");
    // Nobody is left: what is idle is closed.
    turn(&snapshot(&[]));
    let began = Instant::now();
    while open.load(Ordering::SeqCst) > 0 {
        assert!(began.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Ingress: 61
#[tokio::test]
async fn retries_of_a_service_stay_within_its_budget() {
    let dying = || scripted(|stream, _, _| async move { drop(stream) });
    let all = [dying().await, dying().await, dying().await];
    let upkeep = Upkeep { ejection: Ejection { broken: 0, ..Ejection::default() }, ..Upkeep::default() };
    let gate = gate(&all, &BuildOptions { upkeep, ..options() });
    let began = Instant::now();
    for _ in 0..300 {
        assert_eq!(gate.get("/").await.status, 502);
    }
    let (retries, denied) = (gate.running.metrics.get(Count::Retry), gate.running.metrics.failures(Cause::Budget));
    // A hundred saved up, a fifth of the requests, ten a second; 600 would be wanted.
    let allowed = 100 + 60 + began.elapsed().as_secs() * 10 + 20;
    assert!(retries >= 100 && retries <= allowed && denied > 100, "{retries} retries of {allowed}, {denied} denied");
}

/// Ingress: 66
#[tokio::test]
async fn an_endpoint_that_only_errs_is_left_out_and_all_together_are_not() {
    let good = Upstream::start("good").await;
    let ill = speaking(|_| answering(500)).await;
    let gate = gate(&[ill, good.address], &options());
    let mut failed = 0;
    for _ in 0..100 {
        failed += usize::from(gate.get("/").await.status == 500);
    }
    assert!((10..=13).contains(&failed), "{failed}");
    let alone = gate_of_ill().await;
    for _ in 0..40 {
        assert_eq!(alone.get("/").await.status, 500, "all are bad: whoever is asked answers for itself");
    }
}

async fn gate_of_ill() -> Gate {
    gate(&[speaking(|_| answering(500)).await, speaking(|_| answering(500)).await], &options())
}

/// Requests at a pace over kept connections until told to stop; how many were sent and how many failed.
async fn load(to: SocketAddr, method: &'static str, stop: Arc<AtomicBool>) -> (usize, usize) {
    const PACE: Duration = Duration::from_millis(8);
    let mut stream = TcpStream::connect(to).await.expect("connect");
    let (mut sent, mut failed) = (0, 0);
    let mut tick = tokio::time::interval(PACE);
    while !stop.load(Ordering::SeqCst) {
        tick.tick().await;
        let request = format!("{method} / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("the gate goes on");
        let head = read_head(&mut stream).await.to_ascii_lowercase();
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
        let mut body = vec![0; length.expect("a length").parse().expect("a number")];
        stream.read_exact(&mut body).await.expect("a body");
        sent += 1;
        failed += usize::from(!head.starts_with("http/1.1 200"));
    }
    (sent, failed)
}

/// Ingress: 64, 65
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_that_die_and_roll_at_a_thousand_requests_a_second_fail_nobody() {
    let mut ups = Vec::new();
    for name in ["a", "b", "c", "d"] {
        ups.push(Upstream::start(name).await);
    }
    let addresses = |ups: &[Upstream]| ups.iter().map(|up| up.address).collect::<Vec<_>>();
    let gate = gate(&addresses(&ups), &options());
    let stop = Arc::new(AtomicBool::new(false));
    let gets: Vec<_> = (0..6).map(|_| tokio::spawn(load(gate.http, "GET", stop.clone()))).collect();
    let posts: Vec<_> = (0..2).map(|_| tokio::spawn(load(gate.http, "POST", stop.clone()))).collect();
    let seen = |up: &Upstream| up.seen();
    let reaches = |up: &Upstream, count: usize| {
        let requests = up.requests.clone();
        async move {
            let began = Instant::now();
            while requests.load(Ordering::SeqCst) < count {
                assert!(began.elapsed() < PATIENCE);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    };
    reaches(&ups[3], 50).await;
    // Two die at once without a word, before anybody has told the gate.
    ups.remove(0).fail().await;
    ups.remove(0).fail().await;
    reaches(&ups[0], seen(&ups[0]) + 200).await;
    // The gate is told later; then a rolling update: a new one comes, an old one is taken out, then ends.
    route(&gate, &addresses(&ups), &options());
    for name in ["e", "f"] {
        let fresh = Upstream::start(name).await;
        ups.push(fresh);
        route(&gate, &addresses(&ups), &options());
        reaches(ups.last().expect("just added"), 50).await;
        let old = ups.remove(0);
        route(&gate, &addresses(&ups), &options());
        reaches(&ups[0], seen(&ups[0]) + 20).await;
        let before = old.seen();
        reaches(&ups[0], seen(&ups[0]) + 50).await;
        assert_eq!(old.seen(), before, "who is taken out gets nothing more");
        old.fail().await;
    }
    stop.store(true, Ordering::SeqCst);
    let (mut sent, mut failed, mut lost) = (0, 0, 0);
    for each in gets {
        let (count, bad) = each.await.expect("no panic");
        (sent, failed) = (sent + count, failed + bad);
    }
    for each in posts {
        let (count, bad) = each.await.expect("no panic");
        (sent, lost) = (sent + count, lost + bad);
    }
    assert_eq!(failed, 0, "of {sent}");
    assert!(sent > 500, "{sent}");
    // Two connections sent POSTs and two endpoints died: no more can have been on a dying one.
    assert!(lost <= 4, "{lost} POSTs of {sent} requests");
}

/// Ingress: 59, 61
#[tokio::test]
async fn a_kept_connection_that_was_closed_takes_no_try_from_endpoints_that_fail() {
    // What the next connection gets, whichever endpoint it is to: one that is kept and closed, two that break, one that answers.
    let next = Arc::new(AtomicUsize::new(0));
    let endpoint = || {
        let next = next.clone();
        scripted(move |mut stream, _, _| {
            let mine = next.fetch_add(1, Ordering::SeqCst);
            async move {
                if matches!(mine, 1 | 2) {
                    stream.set_zero_linger().expect("a socket");
                    return;
                }
                stream.write_all(answering(200).as_bytes()).await.expect("written");
                if mine == 0 {
                    // It takes the next request and is gone.
                    read_head(&mut stream).await;
                }
            }
        })
    };
    let gate = gate(&[endpoint().await, endpoint().await, endpoint().await], &options());
    assert_eq!(gate.get("/").await.status, 200);
    assert_eq!(gate.get("/").await.status, 200, "after {} connections", next.load(Ordering::SeqCst));
    assert_eq!(next.load(Ordering::SeqCst), 4);
}

/// Ingress: 61, 65
#[tokio::test]
async fn a_retry_asks_endpoints_that_came_after_the_request() {
    let (told, mut first) = tokio::sync::mpsc::unbounded_channel();
    let (release, held) = tokio::sync::watch::channel(false);
    let old = scripted(move |stream, _, _| {
        let (told, mut held) = (told.clone(), held.clone());
        async move {
            told.send(()).expect("the test goes on");
            held.wait_for(|now| *now).await.expect("the test goes on");
            stream.set_zero_linger().expect("a socket");
        }
    })
    .await;
    let gate = gate(&[old], &options());
    let asked = tokio::spawn(ask(gate.http, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
    first.recv().await.expect("the old endpoint has it");
    let fresh = Upstream::start("fresh").await;
    route(&gate, &[fresh.address], &options());
    release.send_replace(true);
    assert_eq!(asked.await.expect("no panic").name(), "fresh");
}
