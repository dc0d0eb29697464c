//! The access log as its reader gets it: one line a finished request, with what went wrong by its word; nobody waits for it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use ingress::failure::Cause;
use ingress::snapshot::{Named, UserList};
use ingress::{AccessLog, LogTarget};
use ring::signature::KeyPair as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::delivery::{answering, speaking};
use crate::failures::closed;
use crate::fixture::{Gate, PATIENCE, Upstream, ask, exchange, scripted, snapshot};
use crate::{bearer, mutual};

/// One folder for the logs of all tests here.
static FOLDER: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a folder"));

fn path(name: &str) -> PathBuf {
    FOLDER.path().join(name)
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    // The last one may be on its way.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

/// Waits until `found` finds something.
async fn until<T>(mut found: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "it does not come");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Waits for the line of the request to `host`.
async fn line(path: &Path, host: &str) -> Value {
    until(|| lines(path).into_iter().find(|line| line["host"] == host)).await
}

fn gate(path: &Path, endpoints: &[std::net::SocketAddr]) -> Gate {
    Gate::start(&snapshot(endpoints), |config| {
        config.access_log = AccessLog { target: LogTarget::File(path.to_owned()), ..AccessLog::default() };
        config.timeouts.response = Duration::from_millis(100);
    })
}

/// Ingress: 62
#[tokio::test]
async fn the_line_has_the_word_of_what_went_wrong_last() {
    let silent = scripted(|stream, _, _| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let path = path("causes");
    for (number, (address, cause)) in [
        (closed().await, Cause::ConnectRefused),
        (scripted(|stream, _, _| async move { drop(stream) }).await, Cause::Closed),
        (speaking(|_| "nonsense\r\n\r\n".to_owned()).await, Cause::BadAnswer),
        (silent, Cause::ResponseTimeout),
        (speaking(|_| answering(502)).await, Cause::Endpoint502),
        (speaking(|_| answering(503)).await, Cause::Endpoint503),
        (speaking(|_| answering(504)).await, Cause::Endpoint504),
    ]
    .into_iter()
    .enumerate()
    {
        let (gate, host) = (gate(&path, &[address]), format!("cause-{number}.example"));
        let request =
            format!("POST /p?secret=1 HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        let answer = ask(gate.http, &request).await;
        let line = line(&path, &host).await;
        assert_eq!(line["reason"], cause.word());
        assert_eq!((&line["status"], &line["attempts"]), (&answer.status.into(), &1.into()));
        assert_eq!((&line["endpoint"], &line["backend"]), (&address.to_string().into(), &"n/web:80".into()));
        assert_eq!((&line["path"], &line["method"]), (&"/p".into(), &"POST".into()), "no query, it may hold secrets");
    }
}

/// Ingress: 61, 62
#[tokio::test]
async fn a_retry_that_succeeds_leaves_its_reason_and_its_count() {
    let (good, path) = (Upstream::start("good").await, path("retries"));
    let gate = gate(&path, &[closed().await, good.address]);
    let mut seen = Vec::new();
    for number in 0..2 {
        let host = format!("retry-{number}.example");
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        assert_eq!(ask(gate.http, &request).await.status, 200);
        let line = line(&path, &host).await;
        assert_eq!((&line["endpoint"], &line["cluster"]), (&good.address.to_string().into(), &"c1".into()));
        seen.push((line["attempts"].as_u64(), line["reason"].as_str().map(str::to_owned)));
    }
    seen.sort_unstable();
    assert_eq!(seen, [(Some(1), None), (Some(2), Some("connect_refused".to_owned()))]);
}

/// Ingress: 77
#[tokio::test]
async fn a_line_is_escaped_and_tells_no_secret() {
    let (good, path) = (Upstream::start("good").await, path("escapes"));
    let gate = gate(&path, &[good.address]);
    let request = "GET /a%0Ab%22c?token=hush HTTP/1.1\r\nHost: escaped.example\r\nAuthorization: Basic aHVzaA==\r\nCookie: s=hush\r\nReferer: http://x/?hush\r\nUser-Agent: a\"\\b\r\nConnection: close\r\n\r\n";
    let answer = ask(gate.http, request).await;
    assert_eq!(answer.status, 200);
    let line = line(&path, "escaped.example").await;
    assert_eq!((&line["path"], &line["user_agent"]), (&"/a%0Ab%22c".into(), &"a\"\\b".into()));
    assert_eq!(line["request_id"], answer.json()["headers"]["x-request-id"], "what the endpoint saw");
    assert_eq!(line["bytes"], answer.body.len());
    let text = line.to_string().to_lowercase();
    assert!(!text.contains("hush") && !text.contains("ahvza"), "{text}");
}

/// Who asks is named where the route asks who it is, also who is sent away; nowhere else.
///
/// Ingress: 77
#[tokio::test]
async fn the_line_names_the_user() {
    let (good, path) = (Upstream::start("good").await, path("users"));
    let ours = mutual::authority("root", None);
    let key = bearer::key();
    let x = URL_SAFE_NO_PAD.encode(key.public_key().as_ref());
    let set = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": x}]}).to_string();
    let mut all = snapshot(&[good.address]);
    mutual::authorities(&mut all, "ca", &ours.pem);
    for (name, file, text) in
        [("users", "auth", "ann:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n"), ("keys", "jwks.json", set.as_str())]
    {
        let file = [(file.to_owned(), text.as_bytes().to_vec())];
        all.user_lists.insert(Named::new("n", name), Arc::new(UserList(file.into())));
    }
    let basic = json!({"auth-type": "basic", "auth-secret": "users"});
    let certificate =
        |wanted: &str| json!({"auth-tls-secret": "n/ca", "auth-tls-verify-client": wanted, "ssl-redirect": "false"});
    let ingresses = [
        ("basic.example", basic),
        ("token.example", bearer::ASKED.into_iter().map(|(key, value)| (key.to_owned(), json!(value))).collect()),
        ("on.example", certificate("on")),
        ("anybody.example", certificate("optional_no_ca")),
        ("plain.example", json!({"ssl-redirect": "false"})),
    ];
    for (number, ingress) in (1..).zip(ingresses) {
        mutual::with(&mut all, number, "n", ingress);
    }
    let gate = Gate::start(&all, |config| {
        config.access_log = AccessLog { target: LogTarget::File(path.clone()), ..AccessLog::default() };
    });
    let shown = |scheme: &str, what: &str| format!("Authorization: {scheme} {what}\r\n");
    let (right, wrong) = (shown("Basic", "YW5uOnBhc3N3b3Jk"), shown("Basic", "YW5uOnNlY3JldA=="));
    let token = |change: Value| shown("Bearer", &bearer::token(&key, &change));
    let (alice, mallory) =
        (mutual::identity(&ours, "alice"), mutual::identity(&mutual::authority("other", None), "mallory"));
    let asked = [
        ("basic.example", right.clone(), None, 200, Some("ann")),
        ("basic.example", wrong, None, 401, Some("ann")),
        ("basic.example", String::new(), None, 401, None),
        ("basic.example", shown("Basic", "OnBhc3N3b3Jk"), None, 401, None),
        ("token.example", token(json!({})), None, 200, Some("ann")),
        ("token.example", token(json!({"sub": "b\" \n"})), None, 200, Some("b\" \n")),
        ("token.example", token(json!({"sub": 7})), None, 200, None),
        ("token.example", token(json!({"exp": 1})), None, 401, None),
        ("on.example", String::new(), Some(&alice), 200, Some("alice")),
        ("anybody.example", String::new(), Some(&mallory), 200, None),
        ("plain.example", right, None, 200, None),
    ];
    for (number, (host, fields, identity, status, user)) in asked.into_iter().enumerate() {
        let fields = format!("User-Agent: {number}\r\n{fields}Connection: close\r\n");
        let answer = match identity {
            Some(identity) => {
                let tcp = TcpStream::connect(gate.https).await.expect("connect");
                let mut stream = mutual::connect_to(tcp, &mutual::config(Some(identity)), host).await;
                mutual::request(&mut stream, host, &fields).await
            }
            None => ask(gate.http, &format!("GET / HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n")).await,
        };
        assert_eq!(answer.status, status, "{number} {host}");
        let agent = Value::from(number.to_string());
        let line = until(|| lines(&path).into_iter().find(|line| line["user_agent"] == agent)).await;
        assert_eq!(line.get("user").and_then(Value::as_str), user, "{number} {line}");
        assert!(!line.to_string().contains("YW5u"), "{line}");
    }
}

/// Ingress: 18, 77
#[tokio::test]
async fn who_goes_away_leaves_a_line_too() {
    let (path, asked) = (path("gone"), Arc::new(Notify::new()));
    let heard = asked.clone();
    let silent = scripted(move |stream, _, _| {
        heard.notify_one();
        async move {
            std::future::pending::<()>().await;
            drop(stream);
        }
    })
    .await;
    let gate = Gate::start(&snapshot(&[silent]), |config| {
        config.access_log = AccessLog { target: LogTarget::File(path.clone()), ..AccessLog::default() };
    });
    let mut socket = tokio::net::TcpStream::connect(gate.http).await.expect("connect");
    let sent = tokio::io::AsyncWriteExt::write_all(&mut socket, b"GET / HTTP/1.1\r\nHost: gone.example\r\n\r\n").await;
    sent.expect("sent");
    asked.notified().await;
    drop(socket);
    let line = line(&path, "gone.example").await;
    assert_eq!((&line["status"], &line["reason"]), (&499.into(), &"client_gone".into()));
}

/// Ingress: 77
#[tokio::test]
async fn a_reader_that_does_not_read_delays_nobody_and_what_it_misses_is_counted() {
    let (good, path) = (Upstream::start("good").await, path("pipe"));
    let made = std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo");
    assert!(made.success());
    // Open for both, so that neither end waits for the other; nobody reads.
    let pipe = std::fs::OpenOptions::new().read(true).write(true).open(&path).expect("a pipe");
    let gate = gate(&path, &[good.address]);
    let agent = "a".repeat(2000);
    let one = format!("GET / HTTP/1.1\r\nHost: h\r\nUser-Agent: {agent}\r\n\r\n");
    let last = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let (mut slowest, mut sent) = (Duration::ZERO, 0_u64);
    let began = Instant::now();
    // Two queues of a megabyte, a pipe of 64 kB, and what the writer holds.
    while gate.running.metrics.lost_lines() == 0 {
        assert!(began.elapsed() < PATIENCE, "nothing was dropped after {sent}");
        let burst = Instant::now();
        let answers = exchange(gate.http, [one.repeat(200).as_str(), last].concat().as_bytes()).await;
        slowest = slowest.max(burst.elapsed());
        assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 201);
        sent += 201;
    }
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    let mut text = String::new();
    gate.running.metrics.render(&mut text);
    let counted = text.lines().find(|line| line.starts_with("fedgate_ingress_access_log_dropped_total "));
    assert!(counted.is_some_and(|line| !line.ends_with(" 0")), "{counted:?}");
    // The end does not wait for it for ever either.
    gate.shutdown.cancel();
    let stopping = Instant::now();
    let address = gate.http;
    drop(gate);
    until(|| std::net::TcpStream::connect(address).is_err().then_some(())).await;
    assert!(stopping.elapsed() < PATIENCE);
    drop(pipe);
}

/// Ingress: 77
#[tokio::test]
async fn a_file_that_was_renamed_gets_a_successor() {
    let (good, path) = (Upstream::start("good").await, path("turned"));
    let gate = gate(&path, &[good.address]);
    let get = async |host: &str| {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        assert_eq!(ask(gate.http, &request).await.status, StatusCode::OK.as_u16());
    };
    get("first.example").await;
    line(&path, "first.example").await;
    let old = path.with_extension("1");
    std::fs::rename(&path, &old).expect("renamed");
    (gate.running.log_reopener().expect("a log"))();
    until(|| path.exists().then_some(())).await;
    get("second.example").await;
    line(&path, "second.example").await;
    assert_eq!((lines(&old).len(), lines(&path).len()), (1, 1));
    // Nobody says so this time: it is seen by itself.
    std::fs::remove_file(&path).expect("removed");
    let mut number = 0;
    let began = Instant::now();
    while !path.exists() {
        assert!(began.elapsed() < PATIENCE, "no new file");
        get(&format!("third-{number}.example")).await;
        number += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).expect("there").permissions());
    assert_eq!(mode & 0o007, 0, "others read no addresses");
}

/// Ingress: 77
#[tokio::test]
async fn a_log_that_cannot_be_opened_is_said_at_the_start() {
    let routes = std::sync::Arc::default();
    let config = ingress::IngressConfig {
        access_log: AccessLog { target: LogTarget::File("/no/such/folder/log".into()), ..AccessLog::default() },
        ..ingress::IngressConfig::default()
    };
    let error = ingress::start(config, routes, tokio_util::sync::CancellationToken::new()).expect_err("no log");
    assert!(error.to_string().contains("/no/such/folder/log"), "{error}");
}
