//! Traces as a collector gets them, and as endpoints see them.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use ingress::trace::TraceConfig;
use ingress::{AccessLog, LogTarget};
use serde_json::Value;
use tokio::net::TcpListener;

use crate::failures::closed;
use crate::fixture::{Gate, PATIENCE, Upstream, ask, snapshot};
use crate::policies::with;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// Takes spans as OTLP over HTTP brings them.
struct Collecting {
    address: SocketAddr,
    spans: Arc<Mutex<Vec<Value>>>,
}

impl Collecting {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let (address, spans) = (listener.local_addr().expect("bound"), Arc::<Mutex<Vec<Value>>>::default());
        let taken = spans.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let spans = taken.clone();
                let service = service_fn(move |request| take(spans.clone(), request));
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Self { address, spans }
    }

    /// Waits for so many spans; those for servers come first.
    async fn spans(&self, count: usize) -> Vec<Value> {
        let began = Instant::now();
        loop {
            let mut spans = self.spans.lock().expect("no panic").clone();
            if spans.len() >= count {
                spans.sort_by_key(|span| span["kind"].as_u64());
                return spans;
            }
            assert!(began.elapsed() < PATIENCE, "{} of {count} spans", spans.len());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn take(
    spans: Arc<Mutex<Vec<Value>>>,
    request: Request<hyper::body::Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    assert_eq!((request.uri().path(), request.method().as_str()), ("/v1/traces", "POST"));
    assert_eq!(request.headers()["content-type"], "application/json");
    let body = request.into_body().collect().await.expect("a body").to_bytes();
    let document: Value = serde_json::from_slice(&body).expect("JSON");
    let scope = &document["resourceSpans"][0];
    assert_eq!(attribute(&scope["resource"], "service.name"), "fedgate-ingress");
    let all = scope["scopeSpans"][0]["spans"].as_array().expect("spans").clone();
    spans.lock().expect("no panic").extend(all);
    Ok(Response::new(Full::from("{}")))
}

fn attribute(of: &Value, key: &str) -> String {
    let all = of["attributes"].as_array().expect("attributes");
    let value = all.iter().find(|attribute| attribute["key"] == key).map(|attribute| &attribute["value"]);
    let text = value.and_then(|value| value.get("stringValue").or(value.get("intValue")));
    text.and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn gate(collector: SocketAddr, ratio: f64, endpoints: &[SocketAddr]) -> Gate {
    Gate::start(&snapshot(endpoints), |config| {
        let collector = format!("http://{collector}").parse().expect("a collector");
        config.traces = Some(TraceConfig { collector, ratio });
    })
}

/// Ingress: 31, 78
#[tokio::test]
async fn a_trace_goes_on_through_the_gate_and_its_spans_are_collected() {
    let (good, collecting) = (Upstream::start("good").await, Collecting::start().await);
    let gate = gate(collecting.address, 0.0, &[good.address]);
    let request = format!(
        "POST /a?token=hush HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: tester\r\ntraceparent: 00-{TRACE}-{PARENT}-01\r\n\
         tracestate: a=b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    let answer = ask(gate.http, &request).await;
    let spans = collecting.spans(2).await;
    let [server, asking] = &spans[..] else { panic!("{spans:?}") };
    let told = answer.json()["headers"]["traceparent"].as_str().expect("told").to_owned();
    assert_eq!(told, format!("00-{TRACE}-{}-01", asking["spanId"].as_str().expect("an id")));
    assert_eq!(answer.json()["headers"]["tracestate"], "a=b");
    assert_eq!((&server["traceId"], &asking["traceId"]), (&TRACE.into(), &TRACE.into()));
    assert_eq!((&server["parentSpanId"], &asking["parentSpanId"]), (&PARENT.into(), &server["spanId"]));
    assert_eq!((&server["kind"], &asking["kind"]), (&2.into(), &3.into()));
    assert_eq!((&server["name"], &server["status"]), (&"POST".into(), &Value::Null));
    for (of, key, wanted) in [
        (server, "http.request.method", "POST"),
        (server, "http.response.status_code", "200"),
        (server, "url.path", "/a"),
        (server, "url.scheme", "http"),
        (server, "server.address", "shop.example"),
        (server, "client.address", "127.0.0.1"),
        (server, "user_agent.original", "tester"),
        (server, "network.protocol.version", "1.1"),
        (server, "fedgate.ingress", "n/i"),
        (server, "fedgate.backend", "n/web:80"),
        (asking, "http.request.method", "POST"),
        (asking, "http.response.status_code", "200"),
        (asking, "server.address", "127.0.0.1"),
        (asking, "server.port", &good.address.port().to_string()),
        (asking, "fedgate.cluster", "c0"),
    ] {
        assert_eq!(attribute(of, key), wanted, "{key}");
    }
    let time = |span: &Value, key: &str| span[key].as_str().and_then(|at| at.parse::<u128>().ok()).expect("a time");
    assert!(time(server, "startTimeUnixNano") <= time(asking, "startTimeUnixNano"));
    assert!(time(asking, "endTimeUnixNano") <= time(server, "endTimeUnixNano"));
    assert!(!format!("{spans:?}").contains("hush"), "no query, it may hold secrets");
}

/// Ingress: 61, 78
#[tokio::test]
async fn every_endpoint_that_is_asked_has_a_span() {
    let (good, collecting) = (Upstream::start("good").await, Collecting::start().await);
    let gate = gate(collecting.address, 1.0, &[closed().await, good.address]);
    // One of the two begins with the endpoint that refuses.
    for _ in 0..2 {
        assert_eq!(gate.get("/").await.status, 200);
    }
    let spans = collecting.spans(5).await;
    let refused: Vec<&Value> = spans.iter().filter(|span| attribute(span, "error.type") == "connect_refused").collect();
    let again: Vec<&Value> = spans.iter().filter(|span| attribute(span, "http.request.resend_count") == "1").collect();
    let ([refused], [again]) = (&refused[..], &again[..]) else { panic!("{spans:?}") };
    assert_eq!((&refused["status"]["code"], &refused["parentSpanId"]), (&2.into(), &again["parentSpanId"]));
    assert_ne!(refused["spanId"], again["spanId"]);
}

/// Ingress: 31, 78
#[tokio::test]
async fn who_is_not_traced_says_so_and_the_log_names_the_trace_of_who_is() {
    let (good, collecting) = (Upstream::start("good").await, Collecting::start().await);
    let path = std::env::temp_dir().join(format!("fedgate-traced-{}.log", std::process::id()));
    let gate = Gate::start(&snapshot(&[good.address]), |config| {
        let collector = format!("http://{}", collecting.address).parse().expect("a collector");
        config.traces = Some(TraceConfig { collector, ratio: 0.0 });
        config.access_log = AccessLog { target: LogTarget::File(path.clone()), ..AccessLog::default() };
    });
    let told = gate.get("/").await.json()["headers"]["traceparent"].as_str().expect("told").to_owned();
    assert!(told.ends_with("-00") && told.len() == 55, "{told}");
    let traced =
        format!("GET /traced HTTP/1.1\r\nHost: h\r\ntraceparent: 00-{TRACE}-{PARENT}-01\r\nConnection: close\r\n\r\n");
    assert_eq!(ask(gate.http, &traced).await.status, 200);
    collecting.spans(2).await;
    let began = Instant::now();
    let line = loop {
        let text = std::fs::read_to_string(&path).expect("a log");
        if let Some(line) = text.lines().find(|line| line.contains("/traced") && line.ends_with('}')) {
            break line.to_owned();
        }
        assert!(began.elapsed() < PATIENCE, "no line");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!(line.contains(&format!("\"trace_id\":\"{TRACE}\"")), "{line}");
    std::fs::remove_file(&path).expect("removed");
}

/// Ingress: 77, 78
#[tokio::test]
async fn an_ingress_may_want_no_lines_and_no_traces() {
    let (good, collecting) = (Upstream::start("good").await, Collecting::start().await);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("log");
    for (number, (log, trace)) in [("false", "true"), ("true", "false"), ("false", "false")].into_iter().enumerate() {
        let annotations = [("enable-access-log", log), ("enable-opentelemetry", trace)];
        let gate = Gate::start(&with(snapshot(&[good.address]), &annotations), |config| {
            let collector = format!("http://{}", collecting.address).parse().expect("a collector");
            config.traces = Some(TraceConfig { collector, ratio: 1.0 });
            config.access_log = AccessLog { target: LogTarget::File(path.clone()), ..AccessLog::default() };
        });
        let wanted = format!("GET /wanted-{number} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n");
        assert_eq!(ask(gate.http, &wanted).await.status, 200);
        // Of no route, so that it leaves both; it comes after what was asked before.
        let last = "GET / HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n";
        assert_eq!(ask(gate.http, last).await.status, 400);
    }
    let spans = collecting.spans(5).await;
    let paths: Vec<String> = spans.iter().map(|span| attribute(span, "url.path")).filter(|path| path != "/").collect();
    assert_eq!(paths, ["/wanted-0", ""], "a span of the request and one of its endpoint");
    let began = Instant::now();
    let text = loop {
        let text = std::fs::read_to_string(&path).expect("a log");
        if text.matches("\"status\":400").count() == 3 {
            break text;
        }
        assert!(began.elapsed() < PATIENCE, "{text}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!(text.contains("/wanted-1") && !text.contains("/wanted-0") && !text.contains("/wanted-2"), "{text}");
}

/// Ingress: 78
#[tokio::test]
async fn a_collector_that_is_away_costs_spans_and_nothing_else() {
    let good = Upstream::start("good").await;
    let gate = gate(closed().await, 1.0, &[good.address]);
    assert_eq!(gate.get("/").await.status, 200);
    let began = Instant::now();
    loop {
        let mut text = String::new();
        gate.running.metrics.render(&mut text);
        if text.contains("fedgate_ingress_trace_spans_dropped_total 1\n") {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "nothing is counted");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What comes and goes of a trace, on the short way and on the general way (an option that names nothing).
///
/// Ingress: 31, 78
#[tokio::test]
async fn both_ways_trace_the_same() {
    let (good, collecting) = (Upstream::start("good").await, Collecting::start().await);
    for (ratio, fields) in [
        (0.0, String::new()),
        (1.0, String::new()),
        (1.0, format!("traceparent: 00-{TRACE}-{PARENT}-00\r\ntracestate: a=b\r\n")),
        (0.0, format!("TraceParent: 00-{TRACE}-{PARENT}-01\r\ntracestate: a=b\r\ntracestate: c=d\r\n")),
        (0.0, format!("traceparent: cc-{TRACE}-{PARENT}-01-more\r\n")),
        (0.0, format!("traceparent: cc-{TRACE}-{PARENT}-00-more\r\n")),
        (1.0, "traceparent: nonsense\r\ntracestate: a=b\r\n".to_owned()),
        (1.0, "tracestate: a=b\r\n".to_owned()),
        (1.0, format!("traceparent: 00-{TRACE}-{PARENT}-01\r\n").repeat(2)),
    ] {
        let gate = gate(collecting.address, ratio, &[good.address]);
        let mut seen = Vec::new();
        for connection in ["close", "close, x-nothing"] {
            let request = format!(
                "GET /a?token=hush HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: tester\r\n{fields}Connection: {connection}\r\n\r\n"
            );
            let told = ask(gate.http, &request).await.json()["headers"].clone();
            let parent = told["traceparent"].as_str().expect("told").to_owned();
            let sampled = parent.split('-').nth(3) == Some("01");
            collecting.spans(if sampled { 2 } else { 0 }).await;
            let mut spans = std::mem::take(&mut *collecting.spans.lock().expect("no panic"));
            spans.sort_by_key(|span| span["kind"].as_u64());
            if sampled {
                let [server, asking] = &spans[..] else { panic!("{spans:?}") };
                assert_eq!(parent, format!("00-{}-{}-01", text(&server["traceId"]), text(&asking["spanId"])));
                assert_eq!((&asking["traceId"], &asking["parentSpanId"]), (&server["traceId"], &server["spanId"]));
            }
            let continued = parent.contains(TRACE);
            let unsampled = (continued && !sampled).then_some(parent);
            for span in &mut spans {
                for own in ["traceId", "spanId", "startTimeUnixNano", "endTimeUnixNano"] {
                    span.as_object_mut().expect("an object").remove(own);
                }
                if span["kind"] == 3 {
                    span["parentSpanId"] = Value::Null;
                }
            }
            seen.push((sampled, continued, unsampled, told["tracestate"].clone(), spans));
        }
        assert_eq!(seen[0], seen[1], "{ratio} {fields:?}");
    }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

/// Ingress: 61, 78
#[tokio::test]
async fn a_trace_that_began_on_the_short_way_goes_on_where_an_endpoint_failed() {
    let (good, collecting) = (Upstream::start("good").await, Collecting::start().await);
    // Drawn once: one request that is drawn again would have two traces or none.
    let gate = gate(collecting.address, 1.0, &[closed().await, good.address]);
    let mut answers = 0;
    while gate.running.metrics.get(ingress::metrics::Count::Retry) == 0 {
        assert_eq!(gate.get("/").await.status, 200);
        answers += 1;
        assert!(answers < 10);
    }
    let spans = collecting.spans(2 * answers + 1).await;
    let servers = spans.iter().filter(|span| span["kind"] == 2).count();
    let traces: std::collections::BTreeSet<_> = spans.iter().map(|span| text(&span["traceId"])).collect();
    assert_eq!((servers, traces.len()), (answers, answers), "{spans:?}");
}
