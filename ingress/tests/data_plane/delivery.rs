//! Who gets a request: hashes, sessions, limits, checks; each over real sockets and two replicas where it matters.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ingress::failure::Cause;
use ingress::route::{
    Affinity, Balance, BuildOptions, Circuit, CookieSettings, Delivery, Ejection, HealthCheck, Upkeep, build,
};
use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;

use crate::fixture::{Answer, Gate, PATIENCE, Upstream, ask, options, read_head, scripted, snapshot};

/// Heads are compared in lower case here.
pub const NAMED: CookieSettings<'_> = CookieSettings {
    mode: None,
    name: Some("session"),
    path: None,
    domain: None,
    samesite: None,
    secure: None,
    expires: None,
    max_age: None,
    change_on_failure: false,
};

/// Builds the gate's routes anew, with these options.
pub fn route(gate: &Gate, endpoints: &[SocketAddr], options: &BuildOptions) {
    let before = gate.routes.load_full();
    gate.routes.store(Arc::new(build(&snapshot(endpoints), Some(&before), options)));
}

pub fn gate(endpoints: &[SocketAddr], options: &BuildOptions) -> Gate {
    let gate = Gate::to(&[]);
    route(&gate, endpoints, options);
    gate
}

pub fn delivering(delivery: Delivery) -> BuildOptions {
    BuildOptions { delivery, ..options() }
}

async fn get(gate: &Gate, path: &str, fields: &str) -> Answer {
    ask(gate.http, &format!("GET {path} HTTP/1.1\r\nHost: any\r\nConnection: close\r\n{fields}\r\n")).await
}

/// `name=value` of the answer's `Set-Cookie`.
fn cookie(answer: &Answer) -> Option<String> {
    let field = answer.head.lines().find_map(|line| line.strip_prefix("set-cookie: "))?;
    Some(field.split(';').next().expect("a first part").to_owned())
}

/// Answers each request of a connection with what `say` makes of its head.
pub async fn speaking(say: impl Fn(&str) -> String + Clone + Send + Sync + 'static) -> SocketAddr {
    scripted(move |mut stream, mut head, _| {
        let say = say.clone();
        async move {
            while !head.is_empty() && stream.write_all(say(&head).as_bytes()).await.is_ok() {
                head = read_head(&mut stream).await;
            }
        }
    })
    .await
}

pub fn answering(status: u16) -> String {
    format!("HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\nok")
}

#[tokio::test]
async fn a_hash_leads_to_one_endpoint_on_every_replica() {
    let ups = [Upstream::start("a").await, Upstream::start("b").await, Upstream::start("c").await];
    let all = [ups[0].address, ups[1].address, ups[2].address];
    let key = "$arg_user$http_x_team".parse().expect("an expression");
    let options = delivering(Delivery { balance: Balance::Hash(Arc::new(key)), ..Delivery::default() });
    // The order in which endpoints are listed does not matter, nor does their cluster's number of them.
    let gates = [gate(&all, &options), gate(&all, &options)];
    let mut seen = BTreeMap::<String, u32>::new();
    for user in 0..30 {
        let mut names = Vec::new();
        for gate in gates.iter().cycle().take(4) {
            names.push(get(gate, &format!("/?user={user}"), "X-Team: red\r\n").await.name());
        }
        assert!(names.iter().all(|name| *name == names[0]), "{names:?}");
        *seen.entry(names.swap_remove(0)).or_default() += 1;
    }
    assert_eq!(seen.len(), 3, "{seen:?}");
    let mut keyless = BTreeMap::<String, u32>::new();
    for _ in 0..6 {
        *keyless.entry(get(&gates[0], "/", "").await.name()).or_default() += 1;
    }
    assert_eq!(keyless.into_values().collect::<Vec<_>>(), [2, 2, 2], "without a key they take turns");
}

#[tokio::test]
async fn a_session_stays_over_replicas_and_restarts_and_leads_nowhere_else() {
    for mode in ["balanced", "persistent"] {
        let ups = [Upstream::start("a").await, Upstream::start("b").await, Upstream::start("c").await];
        let all = [ups[0].address, ups[1].address, ups[2].address];
        let affinity = Affinity::new(CookieSettings { mode: Some(mode), ..NAMED });
        let affinity = Some(Arc::new(affinity.expect("good settings")));
        let options = delivering(Delivery { affinity, ..Delivery::default() });
        let (begins, mut seen) = (gate(&all, &options), BTreeMap::<String, u32>::new());
        for _ in 0..12 {
            let first = get(&begins, "/", "").await;
            let (name, cookie) = (first.name(), cookie(&first).expect("a session begins"));
            assert!(first.head.contains("; path=/; httponly"), "{}", first.head);
            // Another process each time, and endpoints that come do not move it.
            for _ in 0..3 {
                let again = get(&gate(&all, &options), "/", &format!("Cookie: x=y; {cookie}\r\n")).await;
                assert_eq!((again.name(), self::cookie(&again)), (name.clone(), None));
            }
            *seen.entry(name).or_default() += 1;
        }
        assert!(seen.len() > 1, "sessions are spread: {seen:?}");
        // Its endpoint goes: the session moves once and gets a new ticket.
        let gate = gate(&all, &options);
        let first = get(&gate, "/", "").await;
        let ticket = cookie(&first).expect("a session begins");
        let gone = ["a", "b", "c"].iter().position(|name| *name == first.name()).expect("one of them");
        let left: Vec<SocketAddr> = all.into_iter().filter(|address| *address != all[gone]).collect();
        route(&gate, &left, &options);
        let moved = get(&gate, "/", &format!("Cookie: {ticket}\r\n")).await;
        // A balanced one keeps its key where its cluster is still there.
        let ticket = cookie(&moved).unwrap_or(ticket);
        let stays = get(&gate, "/", &format!("Cookie: {ticket}\r\n")).await;
        assert_eq!((stays.name(), cookie(&stays)), (moved.name(), None));
        // What somebody made up is no ticket.
        for forged in [&all[gone].to_string(), "00000000000000000000000000000001", "%00", "x"] {
            let answer = get(&gate, "/", &format!("Cookie: session={forged}\r\n")).await;
            assert!(answer.status == 200 && cookie(&answer).is_some(), "{forged}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn a_session_is_lent_out_while_its_endpoint_is_down_and_moved_only_where_asked() {
    for change_on_failure in [false, true] {
        let (a, b) = (Upstream::start("a").await, Upstream::start("b").await);
        let settings = CookieSettings { mode: Some("persistent"), change_on_failure, ..NAMED };
        let affinity = Some(Arc::new(Affinity::new(settings).expect("good settings")));
        let ejection = Ejection { base: 100, ..Ejection::default() };
        let upkeep = Upkeep { ejection, ..Upkeep::default() };
        let options = BuildOptions { upkeep, ..delivering(Delivery { affinity, ..Delivery::default() }) };
        let gate = gate(&[a.address, b.address], &options);
        let ticket = loop {
            let answer = get(&gate, "/", "").await;
            if answer.name() == "a" {
                break cookie(&answer).expect("a session begins");
            }
        };
        let address = a.fail().await;
        for round in 0..3 {
            let lent = get(&gate, "/", &format!("Cookie: {ticket}\r\n")).await;
            assert_eq!((lent.status, lent.name().as_str()), (200, "b"));
            assert_eq!(cookie(&lent).is_some(), change_on_failure, "round {round}");
        }
        let _back = Upstream::on("a", address).await;
        let began = Instant::now();
        while get(&gate, "/", &format!("Cookie: {ticket}\r\n")).await.name() != "a" {
            assert!(began.elapsed() < PATIENCE, "the session returns to its endpoint");
        }
    }
}

#[tokio::test]
async fn the_slower_endpoint_gets_less() {
    let (slow, quick) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counted = |counter: &Arc<AtomicUsize>, wait: u64| {
        let counter = counter.clone();
        scripted(move |mut stream, mut head, _| {
            let counter = counter.clone();
            async move {
                while !head.is_empty() {
                    counter.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(wait)).await;
                    if stream.write_all(answering(200).as_bytes()).await.is_err() {
                        return;
                    }
                    head = read_head(&mut stream).await;
                }
            }
        })
    };
    let endpoints = [counted(&slow, 30).await, counted(&quick, 1).await];
    let gate = gate(&endpoints, &delivering(Delivery { balance: Balance::LeastOfTwo, ..Delivery::default() }));
    for _ in 0..100 {
        assert_eq!(gate.get("/").await.status, 200);
    }
    let (slow, quick) = (slow.load(Ordering::SeqCst), quick.load(Ordering::SeqCst));
    assert!(slow >= 1 && slow * 4 < quick, "{slow} to the slow one, {quick} to the quick one");
}

/// Ingress: 68
#[tokio::test]
async fn more_than_a_backend_takes_is_answered_at_once() {
    let (release, arrived) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let (held, counter) = (release.clone(), arrived.clone());
    let address = scripted(move |mut stream, _, _| {
        let (held, counter) = (held.clone(), counter.clone());
        async move {
            counter.fetch_add(1, Ordering::SeqCst);
            held.acquire().await.expect("open").forget();
            stream.write_all(answering(200).as_bytes()).await.expect("written");
        }
    })
    .await;
    let circuit = Some(Circuit { requests: 2, queue: 1, patience: PATIENCE });
    let options = BuildOptions { upkeep: Upkeep { circuit, ..Upkeep::default() }, ..options() };
    let gate = Arc::new(gate(&[address], &options));
    let send = || {
        let gate = gate.clone();
        tokio::spawn(async move { gate.get("/").await })
    };
    let mut open = vec![send(), send()];
    let began = Instant::now();
    while arrived.load(Ordering::SeqCst) < 2 {
        assert!(began.elapsed() < PATIENCE);
        tokio::task::yield_now().await;
    }
    // Of two more one waits and one is turned away; which one is theirs to find out.
    let (mut one, mut other) = (send(), send());
    let turned = tokio::select! {
        answer = &mut one => { open.push(other); answer }
        answer = &mut other => { open.push(one); answer }
    };
    let turned = turned.expect("no panic");
    assert_eq!(turned.status, 503);
    assert!(turned.head.contains("\r\nretry-after: 1"), "{}", turned.head);
    // A rebuild of the routes does not forget those in flight.
    route(&gate, &[address], &options);
    assert_eq!(gate.get("/").await.status, 503);
    assert_eq!(gate.running.metrics.failures(Cause::Overload), 2);
    release.add_permits(4);
    for each in open {
        assert_eq!(each.await.expect("no panic").status, 200);
    }
    assert_eq!(gate.get("/").await.status, 200, "the seats are free again");
}

/// Ingress: 66
#[tokio::test]
async fn an_endpoint_that_fails_its_checks_gets_nothing_until_it_passes() {
    let (well, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (verdict, counter) = (well.clone(), asked.clone());
    let sick = speaking(move |head| {
        if head.starts_with("GET /healthz?deep HTTP/1.1\r\n") {
            assert!(head.contains("user-agent: fedgate-check\r\n"), "{head}");
            counter.fetch_add(1, Ordering::SeqCst);
            return answering(if verdict.load(Ordering::SeqCst) { 204 } else { 500 })
                .replace("\r\nContent-Length: 2\r\n\r\nok", "\r\nContent-Length: 0\r\n\r\n");
        }
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nsick".to_owned()
    })
    .await;
    let sound = Upstream::start("sound").await;
    let check = HealthCheck::new("/healthz?deep").expect("a path");
    let pace = Duration::from_millis(100);
    let check = check.paced(pace, pace).and_then(|check| check.believing(2, 2)).expect("a pace");
    let upkeep = Upkeep { check: Some(Arc::new(check)), ..Upkeep::default() };
    let gate = gate(&[sick, sound.address], &BuildOptions { upkeep, ..options() });
    let round = || async {
        let answers = [gate.get("/").await, gate.get("/").await, gate.get("/").await, gate.get("/").await];
        answers.iter().filter(|answer| answer.body == "sick").count()
    };
    let began = Instant::now();
    while round().await > 0 {
        assert!(began.elapsed() < PATIENCE);
    }
    assert_eq!(round().await, 0, "it stays out although it answers");
    assert!(asked.load(Ordering::SeqCst) >= 2);
    well.store(true, Ordering::SeqCst);
    while round().await == 0 {
        assert!(began.elapsed() < PATIENCE);
    }
    // Two workers, but one task asks: about ten times a second.
    let (before, from) = (asked.load(Ordering::SeqCst), Instant::now());
    while asked.load(Ordering::SeqCst) < before + 5 {
        assert!(began.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(from.elapsed() >= Duration::from_millis(350), "{:?}", from.elapsed());
    // Where checks are taken back so is what they found.
    well.store(false, Ordering::SeqCst);
    while round().await > 0 {
        assert!(began.elapsed() < PATIENCE);
    }
    route(&gate, &[sick, sound.address], &options());
    while round().await == 0 {
        assert!(began.elapsed() < PATIENCE);
    }
}
