//! The head of an endpoint's answer, read and rewritten for the client in one pass over its bytes.
//!
//! Pure. An answer that is not understood here is asked for again the general way, which judges it.

use std::mem::MaybeUninit;

use http::{HeaderValue, StatusCode};
use httparse::{Header, Response, Status};

use super::field;
use crate::access::number;
use crate::config::HeadRules;
use crate::proxy::head::{is_hop_by_hop, may_be_nominated};

/// Fields that such an answer has at most.
const FIELDS: usize = 100;

/// What the bytes of an endpoint are so far.
pub enum Reading {
    /// Not a whole head.
    More,
    /// A head of so many bytes that is not the answer's.
    Interim(usize),
    Head(Answer),
    /// Nothing that is passed on here.
    Strange,
}

/// An answer's head.
pub struct Answer {
    pub status: StatusCode,
    /// Bytes of the head.
    pub length: usize,
    pub body: Body,
    /// The endpoint takes another request over this connection.
    pub goes_on: bool,
    /// The client was told that its connection ends.
    pub last: bool,
}

/// How an answer's body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    Length(u64),
    Chunked,
    /// With the connection.
    Close,
}

/// What is known of an answer before it comes, and what is said in it.
#[derive(Clone, Copy)]
pub struct Setting<'s> {
    pub head_only: bool,
    /// The client's connection ends after it.
    pub last: bool,
    pub rules: &'s HeadRules,
    /// What is said of HTTPS where the endpoint does not.
    pub promise: Option<&'s HeaderValue>,
    /// The value of `Date` where the endpoint sends none.
    pub date: fn(&mut Vec<u8>),
}

#[derive(Default)]
struct Seen {
    length: Option<u64>,
    chunked: bool,
    /// There are codings, the last of which may be another one.
    coded: bool,
    /// What is said of the length is no length, or several.
    unclear: bool,
    close: bool,
    keep: bool,
    date: bool,
    server: bool,
    promise: bool,
}

/// Reads an answer off the front of `bytes`; its head is appended to `out` as the client gets it.
pub fn read(bytes: &[u8], setting: Setting<'_>, out: &mut Vec<u8>) -> Reading {
    let mut slots = [const { MaybeUninit::<Header<'_>>::uninit() }; FIELDS];
    let mut response = Response::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut response, bytes, &mut slots);
    let length = match parsed {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Reading::More,
        Err(_) => return Reading::Strange,
    };
    let before = out.len();
    let read = rewrite((&response, length), setting, out).unwrap_or(Reading::Strange);
    if !matches!(read, Reading::Head(_)) {
        out.truncate(before);
    }
    read
}

fn rewrite((response, length): (&Response<'_, '_>, usize), setting: Setting<'_>, out: &mut Vec<u8>) -> Option<Reading> {
    let status = StatusCode::from_u16(response.code?).ok()?;
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return None;
    }
    if status.is_informational() {
        return Some(Reading::Interim(length));
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    let reason = response.reason.filter(|reason| !reason.is_empty() && reason.is_ascii());
    out.extend_from_slice(reason.or(status.canonical_reason()).unwrap_or("").as_bytes());
    out.extend_from_slice(b"\r\n");
    let mut seen = Seen::default();
    let bodiless = setting.head_only || matches!(status.as_u16(), 204 | 304);
    let options = response.headers.iter().filter(|field| field.name.eq_ignore_ascii_case("connection"));
    let options = options.flat_map(|field| field.value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    let nominated = |name: &str| {
        let mut options = options.clone();
        may_be_nominated(name) && options.any(|option| option.eq_ignore_ascii_case(name.as_bytes()))
    };
    for option in options.clone() {
        seen.close |= option.eq_ignore_ascii_case(b"close");
        seen.keep |= option.eq_ignore_ascii_case(b"keep-alive");
    }
    for field in &*response.headers {
        field::copy(field, out, |name, _| Some(passes(name, field, &mut seen, nominated)))?;
    }
    if !bodiless && ((seen.coded && response.version == Some(0)) || (!seen.coded && seen.unclear)) {
        return None;
    }
    let known = seen.length.filter(|_| !seen.unclear);
    let body = match &seen {
        _ if bodiless => Body::Length(0),
        Seen { chunked: true, .. } => Body::Chunked,
        Seen { coded: true, .. } => Body::Close,
        Seen { length: Some(length), .. } => Body::Length(*length),
        _ => Body::Close,
    };
    match (known.filter(|_| bodiless || matches!(body, Body::Length(_))), body) {
        // Of what has no body only answers to HEAD speak of one here.
        (Some(_), _) if matches!(status.as_u16(), 204 | 304) => {}
        (Some(length), _) => {
            out.extend_from_slice(b"content-length: ");
            number(out, length);
            out.extend_from_slice(b"\r\n");
        }
        (None, Body::Chunked | Body::Close) => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        (None, Body::Length(_)) => {}
    }
    if let Some(server) = setting.rules.server.as_ref().filter(|_| !seen.server) {
        add(out, b"server: ", server);
    }
    if let Some(promise) = setting.promise.filter(|_| !seen.promise) {
        add(out, b"strict-transport-security: ", promise);
    }
    if !seen.date {
        out.extend_from_slice(b"date: ");
        (setting.date)(out);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(if setting.last { b"connection: close\r\n\r\n" } else { b"\r\n" });
    let persistent = if response.version == Some(1) { !seen.close } else { seen.keep && !seen.close };
    // Who frames an answer twice may frame the next one in the middle of this.
    let clear = body != Body::Close && !seen.unclear && !(seen.coded && seen.length.is_some());
    let clear = clear && (status != StatusCode::NO_CONTENT || (!seen.coded && seen.length.unwrap_or(0) == 0));
    let answer = Answer { status, length, body, goes_on: persistent && clear, last: setting.last };
    Some(Reading::Head(answer))
}

fn add(out: &mut Vec<u8>, name: &[u8], value: &HeaderValue) {
    out.extend_from_slice(name);
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Whether the client gets a field.
fn passes(name: &str, field: &Header<'_>, seen: &mut Seen, nominated: impl Fn(&str) -> bool) -> bool {
    match name {
        "content-length" => {
            for part in field.value.split(|byte| *byte == b',') {
                let length = digits(part.trim_ascii());
                seen.unclear |= length.is_none() || seen.length.is_some_and(|before| Some(before) != length);
                seen.length = length;
            }
            false
        }
        "transfer-encoding" => {
            // The last coding of the last field says how it ends (RFC 9112 §6.3).
            let last = field.value.rsplit(|byte| *byte == b',').next().unwrap_or(field.value);
            (seen.coded, seen.chunked) = (true, last.trim_ascii().eq_ignore_ascii_case(b"chunked"));
            false
        }
        "connection" => false,
        "date" => {
            seen.date = true;
            true
        }
        "server" => {
            seen.server = true;
            true
        }
        "strict-transport-security" => {
            seen.promise = true;
            true
        }
        name => !is_hop_by_hop(name) && !nominated(name),
    }
}

fn digits(text: &[u8]) -> Option<u64> {
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| u64::from(byte - b'0'));
    let sum = |sum: u64, byte: &u8| sum.checked_mul(10)?.checked_add(digit(byte)?);
    text.iter().try_fold(0, sum).filter(|_| !text.is_empty())
}
