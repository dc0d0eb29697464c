//! WebSocket over HTTP/2 (RFC 8441): an extended CONNECT becomes the Upgrade of RFC 6455 that endpoints know.
//!
//! Works on heads alone; the tunnel that follows is the same as for HTTP/1.1.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode, Version};
use hyper::ext::Protocol;
use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use ring::rand::{SecureRandom, SystemRandom};

use crate::proxy::own;
use crate::refusal::Refusal;

/// What a server appends to the key (RFC 6455 §1.3).
const MAGIC: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

const UNKNOWN: Refusal = own(StatusCode::NOT_IMPLEMENTED, "only websocket is served by CONNECT");
const NO_CHANCE: Refusal = own(StatusCode::INTERNAL_SERVER_ERROR, "no random bytes");
const NOT_SWITCHED: Refusal = own(StatusCode::BAD_GATEWAY, "the endpoint did not switch to websocket");

/// A WebSocket that a client opens over HTTP/2.
pub struct Opening {
    accept: String,
}

impl Opening {
    /// Turns an extended CONNECT into the opening of RFC 6455; leaves other requests as they are.
    ///
    /// # Errors
    /// Another protocol than WebSocket is asked for.
    pub fn of(parts: &mut Parts) -> Result<Option<Self>, Refusal> {
        let Some(protocol) = parts.extensions.get::<Protocol>() else { return Ok(None) };
        if protocol.as_str() != "websocket" {
            return Err(UNKNOWN);
        }
        let mut nonce = [0; 16];
        SystemRandom::new().fill(&mut nonce).map_err(|_| NO_CHANCE)?;
        let key = STANDARD.encode(nonce);
        parts.method = Method::GET;
        // An upgrade is looked for in HTTP/1.1 only.
        parts.version = Version::HTTP_11;
        parts.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        parts.headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        let accept = accept(&key);
        parts.headers.insert(header::SEC_WEBSOCKET_KEY, key.try_into().expect("base64 is a header value"));
        Ok(Some(Self { accept }))
    }

    /// Checks that an endpoint's 101 answers our key, and takes off what the client has not asked for.
    ///
    /// # Errors
    /// The endpoint does not speak WebSocket.
    pub fn check(&self, status: StatusCode, headers: &mut HeaderMap) -> Result<(), Refusal> {
        if status != StatusCode::SWITCHING_PROTOCOLS {
            // 2xx would mean to the client that the tunnel is open.
            return if status.is_success() { Err(NOT_SWITCHED) } else { Ok(()) };
        }
        let websocket = headers.get(header::UPGRADE).is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"));
        let ours = headers.remove(header::SEC_WEBSOCKET_ACCEPT).is_some_and(|accept| accept == self.accept.as_str());
        headers.remove(header::CONTENT_LENGTH);
        if websocket && ours { Ok(()) } else { Err(NOT_SWITCHED) }
    }
}

fn accept(key: &str) -> String {
    let mut digest = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    digest.update(key.as_bytes());
    digest.update(MAGIC);
    STANDARD.encode(digest.finish())
}

#[cfg(test)]
mod tests {
    use http::header::{self, HeaderMap};
    use http::{Method, Request, StatusCode};
    use hyper::ext::Protocol;

    use super::{Opening, accept};

    #[test]
    fn the_key_is_answered_as_the_rfc_has_it() {
        assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn only_an_endpoint_that_answers_our_key_has_switched() {
        let connect = |protocol: &'static str| {
            let request = Request::connect("https://h/chat").extension(Protocol::from_static(protocol));
            request.body(()).expect("a request").into_parts().0
        };
        assert!(Opening::of(&mut Request::new(()).into_parts().0).is_ok_and(|opening| opening.is_none()));
        assert!(Opening::of(&mut connect("connect-udp")).is_err_and(|refusal| refusal.status == 501));
        let mut parts = connect("websocket");
        let opening = Opening::of(&mut parts).ok().flatten().expect("an opening");
        assert_eq!((parts.method, parts.uri.path()), (Method::GET, "/chat"));
        let key = parts.headers[header::SEC_WEBSOCKET_KEY].to_str().expect("text").to_owned();
        for (status, upgrade, accept, sound) in [
            (101, "WebSocket", accept(&key), true),
            (101, "websocket", "other".to_owned(), false),
            (101, "h2c", accept(&key), false),
            (200, "", String::new(), false),
            (204, "", String::new(), false),
            (403, "", String::new(), true),
            (302, "", String::new(), true),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::UPGRADE, upgrade.parse().expect("a value"));
            headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept.parse().expect("a value"));
            let status = StatusCode::from_u16(status).expect("a status");
            assert_eq!(opening.check(status, &mut headers).is_ok(), sound, "{status} {upgrade} {accept}");
        }
    }
}
