//! The head of an endpoint's answer, read and rewritten for the client in one pass over its bytes.
//!
//! Pure. An answer that is not understood here is asked for again the general way, which judges it.

use std::mem::MaybeUninit;
use std::ops::Range;

use bytes::Bytes;
use http::StatusCode;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
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
    /// `Connection` names fields.
    names: bool,
    date: bool,
    server: bool,
    promise: bool,
}

/// What becomes of an answer's framing.
struct Framing {
    body: Body,
    /// The length that the client is told.
    length: Option<u64>,
    /// The endpoint takes another request over this connection.
    goes_on: bool,
}

/// Reads an answer off the front of `bytes`; its head is appended to `out` as the client gets it.
pub fn read(bytes: &[u8], setting: Setting<'_>, out: &mut Vec<u8>) -> Reading {
    let before = out.len();
    let read = parsed(bytes, |response, length| rewrite((response, length), setting, out));
    if !matches!(read, Reading::Head(_)) {
        out.truncate(before);
    }
    read
}

/// The same for a client of HTTP/2: `to` gets the fields.
pub fn fields(bytes: &[u8], head_only: bool, rules: &HeadRules, to: &mut HeaderMap) -> Reading {
    parsed(bytes, |response, length| collect((response, bytes.get(..length)?), head_only, rules, to))
}

fn parsed(bytes: &[u8], judge: impl FnOnce(&Response<'_, '_>, usize) -> Option<Reading>) -> Reading {
    let mut slots = [const { MaybeUninit::<Header<'_>>::uninit() }; FIELDS];
    let mut response = Response::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut response, bytes, &mut slots);
    match parsed {
        Ok(Status::Complete(length)) => judge(&response, length).unwrap_or(Reading::Strange),
        Ok(Status::Partial) => Reading::More,
        Err(_) => Reading::Strange,
    }
}

/// The status of an answer; `Err` for heads that are not the answer's.
fn status(response: &Response<'_, '_>) -> Option<Result<StatusCode, ()>> {
    match StatusCode::from_u16(response.code?).ok()? {
        StatusCode::SWITCHING_PROTOCOLS => None,
        status if status.is_informational() => Some(Err(())),
        status => Some(Ok(status)),
    }
}

fn rewrite((response, length): (&Response<'_, '_>, usize), setting: Setting<'_>, out: &mut Vec<u8>) -> Option<Reading> {
    let Ok(status) = status(response)? else { return Some(Reading::Interim(length)) };
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    let reason = response.reason.filter(|reason| !reason.is_empty() && reason.is_ascii());
    out.extend_from_slice(reason.or(status.canonical_reason()).unwrap_or("").as_bytes());
    out.extend_from_slice(b"\r\n");
    let mut seen = Seen::of(response);
    for field in &*response.headers {
        field::copy(field, out, |name| Some(seen.passes(name, field.value, response)))?;
    }
    let framing = seen.framing(response.version, status, setting.head_only)?;
    match (framing.length, framing.body) {
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
    let Framing { body, goes_on, .. } = framing;
    Some(Reading::Head(Answer { status, length, body, goes_on, last: setting.last }))
}

fn collect(
    (response, head): (&Response<'_, '_>, &[u8]),
    head_only: bool,
    rules: &HeadRules,
    to: &mut HeaderMap,
) -> Option<Reading> {
    let Ok(status) = status(response)? else { return Some(Reading::Interim(head.len())) };
    to.clear();
    let mut seen = Seen::of(response);
    let shared = Bytes::copy_from_slice(head);
    for field in &*response.headers {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        if seen.passes(name.as_str(), field.value, response) {
            let value = shared.slice(place(field.value, head));
            to.append(name, HeaderValue::from_maybe_shared(value).ok()?);
        }
    }
    let framing = seen.framing(response.version, status, head_only)?;
    // The length of what is not sent cannot be taken for framing here (RFC 9110 §8.6).
    let unsent = seen.length.filter(|_| status == StatusCode::NOT_MODIFIED && !seen.unclear && !seen.coded);
    if let Some(length) = framing.length.or(unsent) {
        to.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    if let Some(server) = rules.server.as_ref().filter(|_| !seen.server) {
        to.insert(header::SERVER, server.clone());
    }
    let Framing { body, goes_on, .. } = framing;
    Some(Reading::Head(Answer { status, length: head.len(), body, goes_on, last: false }))
}

impl Seen {
    /// Of the head but its fields.
    fn of(response: &Response<'_, '_>) -> Self {
        let mut seen = Self::default();
        for option in options(response) {
            match option {
                option if option.eq_ignore_ascii_case(b"close") => seen.close = true,
                option if option.eq_ignore_ascii_case(b"keep-alive") => seen.keep = true,
                _ => seen.names = true,
            }
        }
        seen
    }

    /// Takes note of a field; whether the client gets it.
    fn passes(&mut self, name: &str, value: &[u8], response: &Response<'_, '_>) -> bool {
        match name {
            "content-length" => {
                for part in value.split(|byte| *byte == b',') {
                    let length = digits(part.trim_ascii());
                    self.unclear |= length.is_none() || self.length.is_some_and(|before| Some(before) != length);
                    self.length = length;
                }
                false
            }
            "transfer-encoding" => {
                // The last coding of the last field says how it ends (RFC 9112 §6.3).
                let last = value.rsplit(|byte| *byte == b',').next().unwrap_or(value);
                (self.coded, self.chunked) = (true, last.trim_ascii().eq_ignore_ascii_case(b"chunked"));
                false
            }
            "connection" => false,
            name if is_hop_by_hop(name) || self.takes_off(name, response) => false,
            "date" => {
                self.date = true;
                true
            }
            "server" => {
                self.server = true;
                true
            }
            "strict-transport-security" => {
                self.promise = true;
                true
            }
            _ => true,
        }
    }

    /// Whether `Connection` names it: a field of this hop, whatever it is.
    fn takes_off(&self, name: &str, response: &Response<'_, '_>) -> bool {
        self.names && may_be_nominated(name) && is_nominated(name, response)
    }

    /// What the fields say of the body, if it is clear.
    fn framing(&self, version: Option<u8>, status: StatusCode, head_only: bool) -> Option<Framing> {
        let bodiless = head_only || matches!(status.as_u16(), 204 | 304);
        if !bodiless && ((self.coded && version == Some(0)) || (!self.coded && self.unclear)) {
            return None;
        }
        let body = match self {
            _ if bodiless => Body::Length(0),
            Self { chunked: true, .. } => Body::Chunked,
            Self { coded: true, .. } => Body::Close,
            Self { length: Some(length), .. } => Body::Length(*length),
            _ => Body::Close,
        };
        // Of what has no body only answers to HEAD speak of one here.
        let told = match status {
            StatusCode::NO_CONTENT => false,
            StatusCode::NOT_MODIFIED => head_only,
            _ => bodiless || matches!(body, Body::Length(_)),
        };
        // Codings overrule a length (RFC 9112 §6.3).
        let length = self.length.filter(|_| told && !self.unclear && !self.coded);
        let persistent = if version == Some(1) { !self.close } else { self.keep && !self.close };
        // Who frames an answer twice may frame the next one in the middle of this.
        let clear = body != Body::Close && !self.unclear && !(self.coded && self.length.is_some());
        let clear = clear && (status != StatusCode::NO_CONTENT || (!self.coded && self.length.unwrap_or(0) == 0));
        Some(Framing { body, length, goes_on: persistent && clear })
    }
}

/// The options of `Connection`.
fn options<'r>(response: &'r Response<'_, '_>) -> impl Iterator<Item = &'r [u8]> {
    let fields = response.headers.iter().filter(|field| field.name.eq_ignore_ascii_case("connection"));
    fields.flat_map(|field| field.value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii)
}

fn is_nominated(name: &str, response: &Response<'_, '_>) -> bool {
    options(response).any(|option| option.eq_ignore_ascii_case(name.as_bytes()))
}

fn add(out: &mut Vec<u8>, name: &[u8], value: &HeaderValue) {
    out.extend_from_slice(name);
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Where in `whole` the bytes of `part` are.
pub fn place(part: &[u8], whole: &[u8]) -> Range<usize> {
    let start = part.as_ptr().addr().wrapping_sub(whole.as_ptr().addr());
    if part.is_empty() { 0..0 } else { start..start + part.len() }
}

fn digits(text: &[u8]) -> Option<u64> {
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| u64::from(byte - b'0'));
    let sum = |sum: u64, byte: &u8| sum.checked_mul(10)?.checked_add(digit(byte)?);
    text.iter().try_fold(0, sum).filter(|_| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::{Reading, Setting, fields, read};
    use crate::config::HeadRules;

    /// Ingress: 26
    #[test]
    fn what_an_endpoint_says_of_its_hop_goes_no_further_whatever_it_is_called() {
        let rules = HeadRules::default();
        let date = |to: &mut Vec<u8>| to.extend_from_slice(b"today");
        let setting = Setting { head_only: false, last: false, rules: &rules, promise: None, date };
        let said = "HTTP/1.1 200 OK\r\nConnection: date, Server,X, strict-transport-security, set-cookie\r\nDate: then\r\n\
            Server: theirs\r\nX: y\r\nStrict-Transport-Security: a\r\nY: z\r\nContent-Length: 0\r\n\r\n";
        let mut out = Vec::new();
        assert!(matches!(read(said.as_bytes(), setting, &mut out), Reading::Head(_)));
        let wanted = "HTTP/1.1 200 OK\r\ny: z\r\ncontent-length: 0\r\nserver: fedgate\r\ndate: today\r\n\r\n";
        assert_eq!(String::from_utf8(out).as_deref(), Ok(wanted));
        let mut over_http2 = HeaderMap::new();
        assert!(matches!(fields(said.as_bytes(), false, &rules, &mut over_http2), Reading::Head(_)));
        let names: Vec<&str> = over_http2.keys().map(http::HeaderName::as_str).collect();
        assert_eq!((over_http2["server"].as_bytes(), names.len()), (&b"fedgate"[..], 3), "{names:?}");
    }
}
