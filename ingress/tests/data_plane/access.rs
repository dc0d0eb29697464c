//! The access log as a subscriber gets it: one event a finished request, with what went wrong by its word.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Mutex, Once};
use std::time::{Duration, Instant};

use ingress::failure::Cause;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::delivery::{answering, speaking};
use crate::failures::closed;
use crate::fixture::{Gate, PATIENCE, Upstream, ask, scripted, snapshot};

type Line = BTreeMap<&'static str, String>;

/// Lines of all gates of this process that write any.
static LINES: Mutex<Vec<Line>> = Mutex::new(Vec::new());

struct Capture;

impl Subscriber for Capture {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "access"
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields(Line::new());
        event.record(&mut fields);
        LINES.lock().expect("no panic").push(fields.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Fields(Line);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}

/// Waits for the line of the request to `host`, which no other test may name.
async fn line(host: &str) -> Line {
    let began = Instant::now();
    loop {
        let found = LINES.lock().expect("no panic").iter().find(|line| line["host"] == format!("{host:?}")).cloned();
        if let Some(line) = found {
            return line;
        }
        assert!(began.elapsed() < PATIENCE, "no line for {host}");
        tokio::task::yield_now().await;
    }
}

fn gate(endpoints: &[std::net::SocketAddr]) -> Gate {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| tracing::subscriber::set_global_default(Capture).expect("nobody else listens"));
    Gate::start(&snapshot(endpoints), |config| {
        config.access_log_every = 1;
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
        let (gate, host) = (gate(&[address]), format!("cause-{number}.example"));
        let request =
            format!("POST /p?secret=1 HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        let answer = ask(gate.http, &request).await;
        let line = line(&host).await;
        assert_eq!(line["reason"], cause.word());
        assert_eq!((line["status"].as_str(), line["attempts"].as_str()), (&*answer.status.to_string(), "1"));
        assert_eq!((line["endpoint"].as_str(), line["backend"].as_str()), (&*address.to_string(), "n/web:80"));
        assert_eq!(
            (line["path"].as_str(), line["method"].as_str()),
            ("\"/p\"", "POST"),
            "no query, it may hold secrets"
        );
    }
}

/// Ingress: 61, 62
#[tokio::test]
async fn a_retry_that_succeeds_leaves_its_reason_and_its_count() {
    let good = Upstream::start("good").await;
    let gate = gate(&[closed().await, good.address]);
    let mut seen = Vec::new();
    for number in 0..2 {
        let host = format!("retry-{number}.example");
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        assert_eq!(ask(gate.http, &request).await.status, 200);
        let line = line(&host).await;
        assert_eq!(line["endpoint"], good.address.to_string());
        seen.push((line["attempts"].clone(), line["reason"].clone()));
    }
    seen.sort_unstable();
    assert_eq!(seen, [("1".to_owned(), String::new()), ("2".to_owned(), "connect_refused".to_owned())]);
}

/// Ingress: 77
#[tokio::test]
async fn a_line_is_escaped_and_tells_no_secret() {
    let good = Upstream::start("good").await;
    let gate = gate(&[good.address]);
    let request = "GET /a%0Ab%22c?token=hush HTTP/1.1\r\nHost: escaped.example\r\nAuthorization: Basic aHVzaA==\r\nCookie: s=hush\r\nConnection: close\r\n\r\n";
    assert_eq!(ask(gate.http, request).await.status, 200);
    let line = line("escaped.example").await;
    assert_eq!(line["path"], "\"/a%0Ab%22c\"");
    for (name, value) in &line {
        let text = value.to_lowercase();
        assert!(!text.contains("hush") && !text.contains("ahvza") && !text.contains('\n'), "{name}: {value}");
    }
}
