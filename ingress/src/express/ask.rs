//! The head of a plain request, read and rewritten for the endpoint in one pass over its bytes.
//!
//! Pure. Says "not here" to whatever the general way would decide about: chunks, upgrades, odd targets, faults of any kind.

use std::mem::MaybeUninit;
use std::ops::Range;

use http::Method;
use http::header::{CONTENT_LENGTH, COOKIE, HOST};
use httparse::{Header, Request, Status};

use super::field;
use crate::config::{HeadRules, Limits};
use crate::peer::Peer;
use crate::proxy::guard::Guard;
use crate::proxy::head::{REQUEST_ID_MAX, is_forwarding, is_hop_by_hop};
use crate::route::Host;
use crate::trace::context::{Context, LENGTH};

/// The usual methods; what others mean is not known.
const METHODS: [Method; 7] =
    [Method::GET, Method::POST, Method::HEAD, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];
/// Fields that a plain request has at most.
const FIELDS: usize = 64;

/// A request that is plain, as far as its head says.
pub struct Ask<'b> {
    /// Bytes of the head.
    pub length: usize,
    /// Bytes of the body, as the head says.
    pub body: u64,
    pub method: Method,
    /// The client wants the connection closed after the answer.
    pub last: bool,
    pub target: &'b str,
    pub host: Host,
    /// `Host` as it was sent.
    pub named: &'b [u8],
    pub agent: &'b [u8],
    pub referer: &'b [u8],
    /// A request id that is passed on.
    pub id: &'b [u8],
    pub trace: Trace<'b>,
}

/// What a request says of the trace that it belongs to.
#[derive(Clone, Copy)]
pub struct Trace<'b> {
    /// The value of `traceparent`, and where it is in what the endpoint gets.
    parent: Option<(&'b [u8], usize)>,
    twice: bool,
    /// There is a state.
    more: bool,
}

impl<'b> Trace<'b> {
    const NONE: Self = Self { parent: None, twice: false, more: false };

    /// Takes a field down that begins at `at` in what the endpoint gets.
    fn note(&mut self, name: &str, value: &'b [u8], at: usize) {
        if name == "tracestate" {
            self.more = true;
            return;
        }
        self.twice |= self.parent.is_some();
        self.parent = Some((value, at + name.len() + ": ".len()));
    }

    /// The context that goes on and where it stands; none is told to go on, and an odd one is for the general way.
    #[must_use]
    pub fn told(&self) -> Option<Option<(Context, usize)>> {
        let Some((parent, at)) = self.parent else { return (!self.more).then_some(None) };
        let context = Context::read(parent).filter(|context| !context.sampled || parent.len() == LENGTH)?;
        (!self.twice).then_some(Some((context, at)))
    }
}

impl<'b> Ask<'b> {
    const fn new(method: Method, target: &'b str) -> Self {
        let (host, none): (_, &[u8]) = (Host::none(), b"");
        Self {
            length: 0,
            body: 0,
            method,
            last: false,
            target,
            host,
            named: none,
            agent: none,
            referer: none,
            id: none,
            trace: Trace::NONE,
        }
    }

    /// Takes note of a field; whether the endpoint gets it. `None`: the request is for the general way.
    ///
    /// It is written down `at` this place.
    fn passes(
        &mut self,
        name: &str,
        (value, at): (&'b [u8], usize),
        (peer, rules): (&Peer, &HeadRules),
    ) -> Option<bool> {
        Some(match name {
            "host" => {
                // An empty one is one, too: who takes the first of two would see another host.
                if !self.named.is_empty() || value.is_empty() {
                    return None;
                }
                self.host = Host::parse(value).ok()?;
                self.named = value;
                true
            }
            "connection" => {
                self.last |= match value {
                    value if value.eq_ignore_ascii_case(b"keep-alive") => false,
                    value if value.eq_ignore_ascii_case(b"close") => true,
                    _ => return None,
                };
                false
            }
            "transfer-encoding" | "te" | "expect" | "upgrade" | "max-forwards" => return None,
            "x-request-id" => {
                let sound = (1..=REQUEST_ID_MAX).contains(&value.len())
                    && value.iter().all(u8::is_ascii_graphic)
                    && self.id.is_empty();
                if !sound {
                    return None;
                }
                self.id = value;
                false
            }
            "user-agent" => {
                self.agent = value;
                true
            }
            "referer" => {
                self.referer = value;
                true
            }
            "traceparent" | "tracestate" => {
                self.trace.note(name, value, at);
                true
            }
            name if is_forwarding(name) => {
                if peer.trusted {
                    return None;
                }
                false
            }
            name => !is_hop_by_hop(name) && (rules.underscores || memchr::memchr(b'_', name.as_bytes()).is_none()),
        })
    }

    /// The target up to the query.
    #[must_use]
    pub fn path(&self) -> &'b str {
        self.target.split_once('?').map_or(self.target, |(path, _)| path)
    }
}

/// Reads a request off the front of `bytes` and appends what the endpoint gets of it to `out`, but for the fields of ours.
///
/// `None`: the head is not whole, or the request is for the general way. `out` is of no use then.
pub fn read<'b>(
    bytes: &'b [u8],
    peer: &Peer,
    (rules, limits): (&HeadRules, &Limits),
    out: &mut Vec<u8>,
) -> Option<Ask<'b>> {
    let mut slots = [const { MaybeUninit::<Header<'_>>::uninit() }; FIELDS];
    let mut request = Request::new(&mut []);
    let Ok(Status::Complete(length)) = request.parse_with_uninit_headers(bytes, &mut slots) else { return None };
    let method = METHODS.into_iter().find(|method| Some(method.as_str()) == request.method)?;
    let target = request.path?;
    let plain = request.version == Some(1) && target.len() <= rules.target_bytes && is_plain(target);
    let small = length <= limits.head_bytes && request.headers.len() <= limits.head_fields;
    if !plain || !small {
        return None;
    }
    let body = Guard::length(&bytes[..length])?;
    request_line(&method, target, out);
    let mut ask = Ask { length, body, ..Ask::new(method, target) };
    for field in &*request.headers {
        let at = out.len();
        field::copy(field, out, |name| ask.passes(name, (field.value, at), (peer, rules)))?;
    }
    // Without a host the general way refuses it.
    (!ask.named.is_empty()).then_some(ask)
}

/// The same of a request over HTTP/2 that has no body.
///
/// `None`: the request is for the general way.
pub fn of<'b, B>(
    request: &'b http::Request<B>,
    peer: &Peer,
    (rules, limits): (&HeadRules, &Limits),
    out: &mut Vec<u8>,
) -> Option<Ask<'b>> {
    let (method, uri, headers) = (request.method(), request.uri(), request.headers());
    let target = uri.path_and_query()?.as_str();
    let ours = matches!(uri.scheme_str(), Some("http" | "https"));
    // What others mean by having no body is for the general way to say.
    let bodiless = matches!(*method, Method::GET | Method::HEAD) && !headers.contains_key(CONTENT_LENGTH);
    let small = target.len() <= rules.target_bytes && headers.len() <= limits.head_fields;
    if !(ours && bodiless && small && is_plain(target)) || headers.contains_key(HOST) {
        return None;
    }
    let named = uri.authority()?.as_str().as_bytes();
    request_line(method, target, out);
    let mut ask = Ask::new(method.clone(), target);
    (ask.host, ask.named) = (Host::parse(named).ok()?, named);
    field::add("host", named, out);
    let mut cookies = false;
    for (name, value) in headers {
        if !ask.passes(name.as_str(), (value.as_bytes(), out.len()), (peer, rules))? {
            continue;
        }
        // Clients may send cookies in several fields, HTTP/1.1 servers expect one (RFC 9113 §8.2.3).
        let cookie = *name == COOKIE;
        if cookie && cookies {
            out.truncate(out.len() - 2);
            out.extend_from_slice(b"; ");
            out.extend_from_slice(value.as_bytes());
            out.extend_from_slice(b"\r\n");
        } else {
            field::add(name.as_str(), value.as_bytes(), out);
        }
        cookies = cookie;
    }
    Some(ask)
}

fn request_line(method: &Method, target: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
}

/// A path with or without a query, of characters that mean the same to everybody.
fn is_plain(target: &str) -> bool {
    const PLAIN: [bool; 256] = {
        let mut table = [false; 256];
        let plain = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+,;=:@/?%";
        let mut at = 0;
        while at < plain.len() {
            table[plain[at] as usize] = true;
            at += 1;
        }
        table
    };
    target.starts_with('/') && target.bytes().all(|byte| PLAIN[usize::from(byte)])
}

/// Appends the fields that say who asks: the same for all requests of one connection.
pub fn forwarding(peer: &Peer, out: &mut Vec<u8>) {
    let (address, scheme) = (peer.address_value.as_bytes(), peer.scheme.as_bytes());
    for (name, value) in [
        ("x-forwarded-for", address),
        ("x-real-ip", address),
        ("x-forwarded-proto", scheme),
        ("x-forwarded-scheme", scheme),
        ("x-scheme", scheme),
        ("x-forwarded-port", peer.port_value.as_bytes()),
    ] {
        field::add(name, value, out);
    }
}

/// Ends the head that goes to the endpoint; gives where in it the request id is.
pub fn finish(ask: &Ask<'_>, id: impl FnOnce() -> [u8; 32], out: &mut Vec<u8>) -> Range<usize> {
    out.extend_from_slice(b"x-forwarded-host: ");
    out.extend_from_slice(ask.named);
    out.extend_from_slice(b"\r\nx-request-id: ");
    let start = out.len();
    if ask.id.is_empty() {
        out.extend_from_slice(&id());
    } else {
        out.extend_from_slice(ask.id);
    }
    let end = out.len();
    out.extend_from_slice(b"\r\n\r\n");
    start..end
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{finish, forwarding, read};
    use crate::config::{HeadRules, Limits, Network};
    use crate::peer::Peer;

    fn peer(trusted: &str) -> Peer {
        let proxies: Arc<[Network]> = trusted.split_whitespace().map(|n| n.parse().expect("a network")).collect();
        Peer::new([10, 0, 0, 9].into(), 80, false, &proxies)
    }

    fn sent(request: &str) -> Option<String> {
        let (mut out, peer) = (Vec::new(), peer(""));
        let ask = read(request.as_bytes(), &peer, (&HeadRules::default(), &Limits::default()), &mut out)?;
        forwarding(&peer, &mut out);
        finish(&ask, || [b'7'; 32], &mut out);
        Some(String::from_utf8(out).expect("text"))
    }

    /// Ingress: 26, 31, 32, 33, 34, 40
    #[test]
    fn a_plain_head_is_rewritten_as_the_general_way_does() {
        let said = "GET /a%20b?x=1&&y HTTP/1.1\r\nHost: Web.Example:80\r\nAccept: */*\r\nCookie: a=b\r\nKeep-Alive: 5\r\n\
            X-Forwarded-For: 1.2.3.4\r\nX_Real_IP: 1\r\nProxy: x\r\nForwarded: for=x\r\nConnection: Keep-Alive\r\nA: \t b \r\nA:\r\n\r\nGET /";
        let wanted = "GET /a%20b?x=1&&y HTTP/1.1\r\nhost: Web.Example:80\r\naccept: */*\r\ncookie: a=b\r\na: b\r\na: \r\n\
            x-forwarded-for: 10.0.0.9\r\nx-real-ip: 10.0.0.9\r\nx-forwarded-proto: http\r\n\
            x-forwarded-scheme: http\r\nx-scheme: http\r\nx-forwarded-port: 80\r\nx-forwarded-host: Web.Example:80\r\nx-request-id: 77777777777777777777777777777777\r\n\r\n";
        assert_eq!(sent(said).as_deref(), Some(wanted));
        let own = sent("HEAD / HTTP/1.1\r\nHost: h\r\nX-Request-ID: mine\r\n\r\n").expect("plain");
        assert!(
            own.starts_with("HEAD / HTTP/1.1\r\nhost: h\r\nx-forwarded-for")
                && own.contains("\r\nx-request-id: mine\r\n"),
            "{own}"
        );
        assert_eq!(own.matches("x-request-id").count(), 1);
        let posted = sent("POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello").expect("plain");
        assert!(posted.starts_with("POST /x HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\nx-forwarded-for"), "{posted}");
    }

    /// Ingress: 1, 2, 3, 7, 8, 9, 11, 12, 13
    #[test]
    fn what_needs_a_decision_is_not_taken() {
        for said in [
            "TRACE / HTTP/1.1\r\nHost: h\r\n\r\n",
            "CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n",
            "PURGE / HTTP/1.1\r\nHost: h\r\n\r\n",
            "get / HTTP/1.1\r\nHost: h\r\n\r\n",
            "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
            "OPTIONS / HTTP/1.1\r\nHost: h\r\nMax-Forwards: 0\r\n\r\n",
            "GET / HTTP/1.0\r\nHost: h\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n",
            "GET / HTTP/1.1\r\nHost:\r\nHost: h\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nHost:\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: u@h\r\n\r\n",
            "GET / HTTP/1.1\r\nHost:\r\n\r\n",
            "GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET /#x HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET /\\x HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET /\u{e9} HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET * HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET / HTTP/1.1\nHost: h\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\n\n",
            "GET / HTTP/1.1\r\nHost: h\r\nA : b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n c\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\na",
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\na",
            "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nTE: trailers\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nConnection: accept\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nX-Request-ID: a b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nA: \0\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nA: b",
            "",
        ] {
            assert_eq!(sent(said), None, "{said:?}");
        }
        let many = format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "A: b\r\n".repeat(64));
        assert_eq!(sent(&many), None);
        let told = b"GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n";
        let (rules, limits) = (HeadRules::default(), Limits::default());
        assert!(read(told, &peer("10.0.0.0/8"), (&rules, &limits), &mut Vec::new()).is_none());
        let few = Limits { head_fields: 1, ..Limits::default() };
        let two = b"GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n\r\n";
        assert!(read(two, &peer(""), (&rules, &few), &mut Vec::new()).is_none());
        assert!(read(two, &peer(""), (&rules, &limits), &mut Vec::new()).is_some());
    }
}
