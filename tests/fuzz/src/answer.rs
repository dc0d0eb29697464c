//! What endpoints answer: read in one way however it comes, framed for the client in one way, and as RFC 9112 has it.

use std::sync::LazyLock;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use httparse::Status;
use ingress::HeadRules;
use ingress::fuzzing::express::answer::{self, Body, Reading, Setting};
use ingress::fuzzing::express::chunks::{Chunks, Malformed};
use ingress::fuzzing::express::{chunk, trailers};
use ingress::fuzzing::guard::{Guard, State};
use ingress::fuzzing::head::{is_hop_by_hop, rewrite_response};

use crate::ask::{of_map, pieces, sent_fields};

const FIELDS: usize = 128;
const DATE: &[u8] = b"Thu, 01 Jan 1970 00:00:00 GMT";

static RULES: LazyLock<HeadRules> = LazyLock::new(HeadRules::default);
static PROMISE: HeaderValue = HeaderValue::from_static("max-age=1");

/// A verdict that can be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    More,
    Interim(usize),
    Head(Head),
    Strange,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    status: StatusCode,
    length: usize,
    body: Body,
    goes_on: bool,
}

impl From<Reading> for Verdict {
    fn from(reading: Reading) -> Self {
        match reading {
            Reading::More => Self::More,
            Reading::Interim(length) => Self::Interim(length),
            Reading::Strange => Self::Strange,
            Reading::Head(answer::Answer { status, length, body, goes_on, .. }) => {
                Self::Head(Head { status, length, body, goes_on })
            }
        }
    }
}

impl Verdict {
    /// Bytes after which it is known.
    fn length(self) -> Option<usize> {
        match self {
            Self::Interim(length) | Self::Head(Head { length, .. }) => Some(length),
            Self::More | Self::Strange => None,
        }
    }
}

/// The first byte says what was asked, and how the answer is cut.
pub fn answer(bytes: &[u8]) {
    let Some((first, mut rest)) = bytes.split_first() else { return };
    let promise = (first & 4 != 0).then_some(&PROMISE);
    let date = |to: &mut Vec<u8>| to.extend_from_slice(DATE);
    let setting = Setting { head_only: first & 1 != 0, last: first & 2 != 0, rules: &RULES, promise, date };
    loop {
        let mut out = b"before".to_vec();
        let verdict = Verdict::from(answer::read(rest, setting, &mut out));
        let out = out.strip_prefix(b"before").expect("what was there stays");
        in_pieces(*first, rest, setting, (verdict, out));
        match verdict {
            Verdict::Interim(length) => rest = &rest[length..],
            Verdict::More | Verdict::Strange => return assert!(out.is_empty(), "nothing is said of no answer"),
            Verdict::Head(head) => {
                told(head, setting, out);
                as_the_general_way(&rest[..head.length], head, setting);
                if head.body == Body::Chunked {
                    chunked(*first, &rest[head.length..]);
                }
                return;
            }
        }
    }
}

/// A verdict comes with the last byte that it needs, stays, and says nothing of what follows.
fn in_pieces(seed: u8, bytes: &[u8], setting: Setting<'_>, (wanted, out): (Verdict, &[u8])) {
    let read = |end: usize| {
        let mut out = Vec::new();
        (Verdict::from(answer::read(&bytes[..end], setting, &mut out)), out)
    };
    let needed = wanted.length().unwrap_or(bytes.len());
    let ends = pieces(seed, &bytes[..needed]).scan(0, |end, piece| {
        *end += piece.len();
        Some(*end)
    });
    let mut strange = false;
    for end in ends.chain([needed.saturating_sub(1)]).filter(|end| *end < needed) {
        let (verdict, _) = read(end);
        assert!(
            verdict == Verdict::More || (wanted == Verdict::Strange && verdict == wanted),
            "{verdict:?} {wanted:?}"
        );
        assert!(!strange || verdict == Verdict::Strange || end + 1 == needed, "what is strange stays so");
        strange |= verdict == Verdict::Strange;
    }
    assert!(read(needed) == (wanted, out.to_vec()), "what follows says nothing");
}

/// The client is told one framing, the one that its body has.
fn told(head: Head, setting: Setting<'_>, out: &[u8]) {
    let mut slots = [httparse::EMPTY_HEADER; FIELDS];
    let mut parsed = httparse::Response::new(&mut slots);
    assert_eq!(parsed.parse(out), Ok(Status::Complete(out.len())), "what is told is one head");
    assert_eq!((parsed.version, parsed.code), (Some(1), Some(head.status.as_u16())));
    let fields = sent_fields(parsed.headers, out);
    let lengths = fields.get("content-length").map_or(&[][..], Vec::as_slice);
    let codings = fields.get("transfer-encoding").map_or(&[][..], Vec::as_slice);
    let bodiless = setting.head_only || matches!(head.status.as_u16(), 204 | 304);
    match head.body {
        _ if bodiless => {
            assert_eq!(head.body, Body::Length(0), "there is no body");
            assert!(codings.is_empty() && lengths.len() <= 1, "nothing frames it");
            assert!(head.status != StatusCode::NO_CONTENT || lengths.is_empty(), "RFC 9110 §8.6");
        }
        Body::Length(length) => {
            assert!(lengths.len() == 1 && lengths[0] == length.to_string().as_bytes() && codings.is_empty());
        }
        Body::Chunked | Body::Close => assert!(lengths.is_empty() && codings == [b"chunked".to_vec()]),
    }
    assert!(head.body != Body::Close || !head.goes_on, "a connection that ends does not go on");
    assert_eq!(fields.contains_key("connection"), setting.last, "ours alone");
    for (name, values) in &fields {
        assert!(name == "connection" || !is_hop_by_hop(name), "{name} is of the other hop");
        let single = ["date", "connection", "content-length", "transfer-encoding"].contains(&name.as_str());
        assert!(!single || values.len() == 1 || name == "date", "{name} is said once");
    }
    assert!(
        fields.contains_key("date") && (setting.promise.is_none() || fields.contains_key("strict-transport-security"))
    );
}

/// Over HTTP/2 it is the same answer; and the general way tells the same fields.
fn as_the_general_way(bytes: &[u8], head: Head, setting: Setting<'_>) {
    let mut ours = HeaderMap::new();
    let verdict = Verdict::from(answer::fields(bytes, setting.head_only, setting.rules, &mut ours));
    assert_eq!(verdict, Verdict::Head(head), "one reading over both protocols");
    let mut slots = [httparse::EMPTY_HEADER; FIELDS];
    let mut parsed = httparse::Response::new(&mut slots);
    assert_eq!(parsed.parse(bytes), Ok(Status::Complete(bytes.len())));
    assert_eq!(framing(&parsed, head.status, setting.head_only), Some(head.body), "as RFC 9112 §6.3 has it");
    let mut general = HeaderMap::new();
    for field in parsed.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).expect("the parser takes names only");
        general.append(name, HeaderValue::from_bytes(field.value).expect("the parser takes values only"));
    }
    rewrite_response(&mut general, setting.rules, None);
    // The length is for who frames the answer.
    for headers in [&mut ours, &mut general] {
        headers.remove("content-length");
    }
    assert_eq!(of_map(&ours), of_map(&general), "the same fields");
}

/// How an answer's body ends; `None` where that cannot be said.
fn framing(response: &httparse::Response<'_, '_>, status: StatusCode, head_only: bool) -> Option<Body> {
    let of = |name: &'static str| {
        let fields = response.headers.iter().filter(move |field| field.name.eq_ignore_ascii_case(name));
        fields.flat_map(|field| field.value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii)
    };
    if head_only || matches!(status.as_u16(), 204 | 304) {
        return Some(Body::Length(0));
    }
    if let Some(last) = of("transfer-encoding").next_back() {
        let chunked = last.eq_ignore_ascii_case(b"chunked");
        return (response.version == Some(1)).then_some(if chunked { Body::Chunked } else { Body::Close });
    }
    let mut lengths = of("content-length").map(|length| {
        let digits = !length.is_empty() && length.iter().all(u8::is_ascii_digit);
        std::str::from_utf8(length).ok().filter(|_| digits)?.parse::<u64>().ok()
    });
    let Some(first) = lengths.next() else { return Some(Body::Close) };
    lengths.all(|length| length == first).then_some(Body::Length(first?))
}

/// What came of chunks: the payload, the trailers, the bytes that were read, and whether it ended.
type Whole = Result<(Vec<u8>, Vec<u8>, usize, bool), Malformed>;

fn unchunked<'b>(pieces: impl Iterator<Item = &'b [u8]>) -> Whole {
    let (mut chunks, mut payload, mut trailing, mut read) = (Chunks::new(), Vec::new(), Vec::new(), 0);
    for piece in pieces {
        let here = chunks.read(piece, &mut payload, |byte| trailing.push(byte))?;
        read += here;
        if chunks == Chunks::End {
            break;
        }
        assert_eq!(here, piece.len(), "all is read until the end");
    }
    Ok((payload, trailing, read, chunks == Chunks::End))
}

/// Chunks mean the same in pieces of any size, and go on in a form that the strictest reader takes.
fn chunked(seed: u8, bytes: &[u8]) {
    let whole = unchunked(std::iter::once(bytes));
    assert_eq!(whole, unchunked(pieces(seed, bytes)), "one body, however it is cut");
    let Ok((payload, trailing, read, ended)) = whole else { return };
    assert!(payload.len() <= read, "nothing comes from nowhere");
    if !ended {
        return;
    }
    assert_eq!(unchunked(std::iter::once(&bytes[..read])), Ok((payload.clone(), trailing.clone(), read, true)));
    if let Ok(Some(fields)) = trailers(&trailing) {
        for name in fields.keys() {
            let framing = ["content-length", "transfer-encoding", "host"].contains(&name.as_str());
            assert!(!framing && !is_hop_by_hop(name.as_str()), "{name} in trailers");
        }
    }
    let mut again = b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    let head = again.len();
    pieces(seed, &payload).for_each(|piece| chunk(piece, &mut again));
    chunk(b"", &mut again);
    again.extend_from_slice(b"0\r\n\r\n");
    assert_eq!(unchunked(std::iter::once(&again[head..])).map(|(payload, ..)| payload), Ok(payload), "the same body");
    let mut guard = Guard::default();
    assert_eq!(guard.check(&mut again.clone()), again.len(), "the guard takes it");
    assert_eq!(guard.state(), State::Start, "and sees its end");
}
