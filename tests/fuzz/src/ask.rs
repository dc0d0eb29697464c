//! What clients of HTTP/1.1 send: whoever reads it reads the same requests, and the short way sends on what the general
//! way would.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Version};
use httparse::Status;
use ingress::fuzzing::Peer;
use ingress::fuzzing::express::ask::{self, Ask};
use ingress::fuzzing::express::chunks::Chunks;
use ingress::fuzzing::guard::{Guard, State};
use ingress::fuzzing::head::{inspect, rewrite_request};
use ingress::{HeadRules, Limits};

const ID: &str = "77777777777777777777777777777777";
const FIELDS: usize = 128;

static RULES: LazyLock<[HeadRules; 2]> =
    LazyLock::new(|| [false, true].map(|underscores| HeadRules { underscores, ..HeadRules::default() }));
static LIMITS: LazyLock<Limits> = LazyLock::new(Limits::default);

/// The first byte says how it is cut and who sends it.
pub fn request(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    guarded(*first, rest);
    let proxies: Arc<[_]> = if first & 1 == 0 { [].into() } else { ["10.0.0.0/8".parse().expect("a network")].into() };
    let peer = Peer::new([10, 0, 0, 9].into(), 80, first & 2 != 0, &proxies);
    let rules = &RULES[usize::from(first >> 2 & 1)];
    if let Some(fields) = passed_on(rest, &peer, rules) {
        over_http2(fields, &peer, rules);
    }
}

/// Pieces of changing sizes.
pub fn pieces(mut seed: u8, bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        seed = seed.wrapping_mul(5).wrapping_add(3);
        let (piece, after) = rest.split_at(rest.len().min(1 + usize::from(seed >> 3)));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

/// What the parser sees, and where the guard stands then.
fn seen<'b>(pieces: impl Iterator<Item = &'b [u8]>) -> (Vec<u8>, State) {
    let (mut guard, mut seen) = (Guard::default(), Vec::new());
    for piece in pieces {
        let mut piece = piece.to_vec();
        let readable = guard.check(&mut piece);
        seen.extend_from_slice(&piece[..readable]);
        if guard.state() == State::Refused {
            assert_eq!(seen.last(), Some(&0), "what is refused ends in poison");
            break;
        }
        assert_eq!(readable, piece.len(), "what is not refused is seen");
    }
    (seen, guard.state())
}

/// The guard's verdict does not depend on how the bytes are cut, and the parser finds no request that it has not found.
fn guarded(seed: u8, bytes: &[u8]) {
    let (whole, state) = seen(std::iter::once(bytes));
    let (cut, again) = seen(pieces(seed, bytes));
    assert_eq!(state, again, "one verdict");
    if state != State::Refused {
        assert!(whole == bytes && cut == bytes, "what is not refused is as it was");
    }
    requests(&whole);
    requests(&cut);
}

/// Reads request after request as a parser does that knows nothing of the guard.
fn requests(mut bytes: &[u8]) {
    loop {
        let mut slots = [httparse::EMPTY_HEADER; FIELDS];
        let mut parsed = httparse::Request::new(&mut slots);
        let Ok(Status::Complete(length)) = parsed.parse(bytes) else { return };
        let (head, rest) = bytes.split_at(length);
        let framing = framing(parsed.headers).expect("what could be framed in two ways is not seen");
        let mut guard = after(head);
        let wanted = match framing {
            Framing::Length(0) => State::Start,
            Framing::Length(length) => State::Body(length),
            Framing::Chunked => State::ChunkSize { size: 0, digits: 0 },
        };
        assert_eq!(guard.state(), wanted, "the head ends here for the guard, too");
        let body = match framing {
            Framing::Length(length) => usize::try_from(length).map_or(rest.len(), |length| length.min(rest.len())),
            Framing::Chunked => {
                let (mut chunks, mut payload) = (Chunks::new(), Vec::new());
                let Ok(read) = chunks.read(rest, &mut payload, |_| {}) else { return };
                if chunks != Chunks::End {
                    return;
                }
                assert_eq!(guard.check(&mut rest[..read].to_vec()), read, "the guard reads the same chunks");
                assert_eq!(guard.state(), State::Start, "they end here for the guard, too");
                read
            }
        };
        bytes = &rest[body..];
    }
}

/// A guard that has read a head, which is a head at its end and no sooner.
fn after(head: &[u8]) -> Guard {
    let mut guard = Guard::default();
    let mut lines = head.split_inclusive(|byte| *byte == b'\n').peekable();
    let mut begun = false;
    while let Some(line) = lines.next() {
        let mut checked = line.to_vec();
        assert!(guard.check(&mut checked) == line.len() && checked == line, "no poison is in what a parser takes");
        assert_ne!(guard.state(), State::Refused, "no parser takes what is refused");
        begun |= line != b"\r\n";
        if begun && lines.peek().is_some() {
            assert_eq!(guard.state(), State::Fields, "the head goes on");
        }
    }
    guard
}

enum Framing {
    Length(u64),
    Chunked,
}

/// What the fields of a request mean to somebody strict (RFC 9112 §6).
fn framing(fields: &[httparse::Header<'_>]) -> Option<Framing> {
    let of = |name: &'static str| fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name));
    let mut all = of("content-length").chain(of("transfer-encoding"));
    let (one, None) = (all.next(), all.next()) else { return None };
    let Some(field) = one else { return Some(Framing::Length(0)) };
    if field.name.eq_ignore_ascii_case("transfer-encoding") {
        return field.value.eq_ignore_ascii_case(b"chunked").then_some(Framing::Chunked);
    }
    let digits = !field.value.is_empty() && field.value.iter().all(u8::is_ascii_digit);
    let value = std::str::from_utf8(field.value).ok().filter(|_| digits)?;
    value.parse().ok().map(Framing::Length)
}

/// Every field of a head by its name, in the order of its values.
pub type Fields = BTreeMap<String, Vec<Vec<u8>>>;

/// A head that is sent: whole, one, without anything that could begin another line.
pub fn sent_fields(parsed: &[httparse::Header<'_>], head: &[u8]) -> Fields {
    let mut fields = Fields::new();
    for field in parsed {
        assert!(field.value.iter().all(|byte| (*byte >= 0x20 && *byte != 0x7f) || *byte == b'\t'), "plain values");
        assert!(field.name.bytes().all(|byte| !byte.is_ascii_uppercase()), "names in lower case");
        fields.entry(field.name.to_owned()).or_default().push(field.value.to_vec());
    }
    let lines = head.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(lines, parsed.len() + 2, "a line a field");
    assert!(head.windows(2).all(|pair| (pair[0] == b'\r') == (pair[1] == b'\n')), "lines end in one way");
    fields
}

pub fn of_map(headers: &HeaderMap) -> Fields {
    let mut fields = Fields::new();
    for (name, value) in headers {
        // Blanks around a value are no part of it once it is sent.
        fields.entry(name.as_str().to_owned()).or_default().push(value.as_bytes().trim_ascii().to_vec());
    }
    fields
}

/// The method, target and fields of what the endpoint gets.
fn sent(out: &[u8]) -> (String, String, Fields) {
    let mut slots = [httparse::EMPTY_HEADER; FIELDS];
    let mut parsed = httparse::Request::new(&mut slots);
    assert_eq!(parsed.parse(out), Ok(Status::Complete(out.len())), "what is sent is one head");
    let text = |text: Option<&str>| text.expect("a whole head has it").to_owned();
    (text(parsed.method), text(parsed.path), sent_fields(parsed.headers, out))
}

fn finished(ask: &Ask<'_>, peer: &Peer, mut out: Vec<u8>) -> Vec<u8> {
    ask::forwarding(peer, &mut out);
    let id = ask::finish(ask, || ID.as_bytes().try_into().expect("32 digits"), &mut out);
    assert!(!out[id.clone()].is_empty() && out[..id.start].ends_with(b"x-request-id: "), "the id is where it is said");
    if let Some(Some((_, at))) = ask.trace.told() {
        assert!(out[..at].ends_with(b"\r\ntraceparent: ") && !out[at..at + 55].contains(&b'\r'), "as is the trace");
    }
    out
}

/// What the short way takes is what the parser and the guard take, and it sends what the general way sends.
fn passed_on<'b>(bytes: &'b [u8], peer: &Peer, rules: &HeadRules) -> Option<(Request<()>, &'b [u8])> {
    let (mut out, mut again) = (Vec::new(), Vec::new());
    let taken = ask::read(bytes, peer, (rules, &LIMITS), &mut out)?;
    let head = &bytes[..taken.length];
    for end in [taken.length / 2, taken.length - 2, taken.length - 1] {
        assert!(ask::read(&bytes[..end], peer, (rules, &LIMITS), &mut Vec::new()).is_none(), "a head has an end");
    }
    let alone = ask::read(head, peer, (rules, &LIMITS), &mut again).expect("what follows is not read");
    assert!(again == out && alone.body == taken.body && alone.length == taken.length, "what follows says nothing");
    let mut slots = [httparse::EMPTY_HEADER; FIELDS];
    let mut parsed = httparse::Request::new(&mut slots);
    assert_eq!(parsed.parse(bytes), Ok(Status::Complete(taken.length)), "the parser takes it");
    let body = match framing(parsed.headers).expect("clear framing") {
        Framing::Length(length) => length,
        Framing::Chunked => panic!("chunks are for the general way"),
    };
    assert_eq!(body, taken.body, "one length");
    assert_eq!(after(head).state(), if body == 0 { State::Start } else { State::Body(body) });
    let mut request = Request::builder().method(taken.method.clone()).uri(taken.target);
    for field in parsed.headers.iter() {
        request = request.header(field.name, field.value);
    }
    let request = request.body(()).expect("the general way takes it");
    agrees(&taken, (&request, Version::HTTP_11), (peer, rules), finished(&taken, peer, out));
    Some((request, taken.named))
}

/// The general way knows the same host, and sends the same fields.
fn agrees(
    ask: &Ask<'_>,
    (request, version): (&Request<()>, Version),
    (peer, rules): (&Peer, &HeadRules),
    out: Vec<u8>,
) {
    let (mut parts, ()) = request.clone().into_parts();
    parts.version = version;
    let inspected = match inspect(&mut parts, rules) {
        Ok(inspected) => inspected,
        // Who looks for the route of such a path leaves it to the general way.
        Err(refusal) => {
            assert!(ingress::fuzzing::normal_path(ask.path()).is_err(), "refused: {}", refusal.reason);
            return;
        }
    };
    assert_eq!(inspected.host.as_str(), ask.host.as_str(), "one host");
    assert!(inspected.upgrade.is_none(), "upgrades are for the general way");
    assert_eq!(parts.uri.path(), ask.path(), "one path");
    rewrite_request(&mut parts, peer, rules, None, || HeaderValue::from_static(ID));
    let (method, target, fields) = sent(&out);
    assert_eq!((method.as_str(), target.as_str()), (parts.method.as_str(), ask.target));
    assert_eq!(parts.uri.path_and_query().map(|target| target.as_str()), Some(ask.target), "one target");
    assert_eq!(fields, of_map(&parts.headers), "the same fields");
}

/// The same request over HTTP/2.
fn over_http2((mut request, named): (Request<()>, &[u8]), peer: &Peer, rules: &HeadRules) {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return;
    }
    let Ok(named) = std::str::from_utf8(named) else { return };
    let Ok(uri) = format!("https://{named}{}", request.uri()).parse() else { return };
    *request.uri_mut() = uri;
    for absent in ["host", "connection", "keep-alive", "proxy-connection", "content-length"] {
        request.headers_mut().remove(HeaderName::from_static(absent));
    }
    // Cookies come in several fields here.
    for cookie in request.headers().get_all("x-cookie").iter().cloned().collect::<Vec<_>>() {
        request.headers_mut().append("cookie", cookie);
    }
    let mut out = Vec::new();
    let Some(taken) = ask::of(&request, peer, (rules, &LIMITS), &mut out) else { return };
    agrees(&taken, (&request, Version::HTTP_2), (peer, rules), finished(&taken, peer, out));
}
