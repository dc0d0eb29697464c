//! HTTP/2 to endpoints: one connection for many requests of a worker, driven by a task of its own.
//!
//! Turns heads from HTTP/1.1 form into HTTP/2's (RFC 9113 §8.2, §8.3); knows no routes.

use std::error::Error;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use http::header;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, Uri, Version};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, Connection, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};

use crate::announce::Ends;
use crate::clock;
use crate::proxy::body::RequestBody;
use crate::proxy::upstream::link::Link;
use crate::proxy::upstream::{ConnectError, ExchangeError, Target};

/// Requests of ours on one connection at once, also where the endpoint would take more.
const MAX_STREAMS: usize = 100;
/// What an endpoint may send on one stream before the client has taken any of it.
const STREAM_WINDOW: u32 = 256 * 1024;
/// The same for the whole connection: more than a few slow clients can hold up.
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;

/// A connection that requests share.
pub struct Shared {
    sender: SendRequest<RequestBody>,
    /// Streams that the endpoint admits at once.
    room: Arc<AtomicUsize>,
    secure: bool,
    /// Ours first.
    ends: Ends,
    streams: AtomicUsize,
    /// When the last stream ended.
    idle_since: AtomicU64,
}

/// One request's place on a connection; free again when dropped.
pub struct Stream(Arc<Shared>);

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.idle_since.store(clock::now(), Ordering::Relaxed);
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    /// Speaks HTTP/2 over `link` from here on.
    ///
    /// # Errors
    /// [`ConnectError::Setup`]
    pub async fn start(link: Link, target: Target<'_>, head_bytes: usize) -> Result<Arc<Self>, ConnectError> {
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(u32::try_from(head_bytes).unwrap_or(u32::MAX));
        let ends = link.ends();
        let (sender, connection) = builder.handshake(TokioIo::new(link)).await.map_err(ConnectError::Setup)?;
        let room = Arc::new(AtomicUsize::new(connection.current_max_send_streams()));
        tokio::spawn(drive(connection, room.clone()));
        Ok(Arc::new(Self {
            sender,
            room,
            secure: target.wire.tls.is_some(),
            ends,
            streams: AtomicUsize::new(0),
            idle_since: AtomicU64::new(clock::now()),
        }))
    }

    /// A place for one more request, if the endpoint has room.
    pub fn enter(self: &Arc<Self>) -> Option<Stream> {
        let room = self.room.load(Ordering::Relaxed).min(MAX_STREAMS);
        (self.streams.load(Ordering::Relaxed) < room).then(|| self.claim())
    }

    /// A place even where the endpoint makes it wait.
    pub fn claim(self: &Arc<Self>) -> Stream {
        self.streams.fetch_add(1, Ordering::Relaxed);
        Stream(self.clone())
    }

    /// Whether it has ended, or takes no more requests.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Since when nobody uses it.
    pub fn idle_since(&self) -> Option<u64> {
        (self.streams.load(Ordering::Relaxed) == 0).then(|| self.idle_since.load(Ordering::Relaxed))
    }
}

/// Reads and writes until the connection ends, and notes how much the endpoint admits.
async fn drive(connection: Connection<TokioIo<Link>, RequestBody, TokioExecutor>, room: Arc<AtomicUsize>) {
    let mut connection = pin!(connection);
    let end = poll_fn(|cx| {
        let end = connection.as_mut().poll(cx);
        if end.is_pending() {
            room.store(connection.current_max_send_streams(), Ordering::Relaxed);
        }
        end
    });
    if let Err(error) = end.await {
        tracing::debug!(%error, "upstream connection ended");
    }
}

impl Stream {
    /// Of the connection, ours first.
    pub fn ends(&self) -> Ends {
        self.0.ends
    }

    /// Sends `request` and waits for the head of the answer.
    ///
    /// # Errors
    /// [`ExchangeError`] says whether the request may be sent again.
    ///
    /// # Cancel safety
    /// Dropping the future resets the stream.
    pub async fn exchange(&self, mut request: Request<RequestBody>) -> Result<Response<Incoming>, ExchangeError> {
        translate(&mut request, self.0.secure, self.0.ends.target);
        let sent = self.0.sender.clone().try_send_request(request);
        sent.await.map_err(|mut error| match error.take_message() {
            Some(request) => ExchangeError::Unsent(Box::new(request)),
            None => {
                let error = error.into_error();
                if was_not_taken(&error) { ExchangeError::Refused(error) } else { ExchangeError::Lost(error) }
            }
        })
    }
}

/// Whether the endpoint has said that it did nothing with the request (RFC 9113 §8.7).
fn was_not_taken(error: &hyper::Error) -> bool {
    let Some(error) = error.source().and_then(|source| source.downcast_ref::<h2::Error>()) else { return false };
    error.is_remote() && (error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM))
}

/// Host → `:authority`; what belongs to one HTTP/1.1 connection goes.
fn translate<B>(request: &mut Request<B>, secure: bool, address: std::net::SocketAddr) {
    *request.version_mut() = Version::HTTP_2;
    if request.uri().authority().is_some() {
        // Translated for an attempt that sent nothing.
        return;
    }
    let headers = request.headers_mut();
    headers.remove(header::CONNECTION);
    headers.remove(header::UPGRADE);
    let named = headers.remove(header::HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let authority = named.unwrap_or_else(|| {
        let text = Bytes::from(address.to_string());
        Authority::from_maybe_shared(text).expect("an address and a port are an authority")
    });
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = Some(if secure { Scheme::HTTPS } else { Scheme::HTTP });
    parts.authority = Some(authority);
    parts.path_and_query.get_or_insert_with(|| PathAndQuery::from_static("/"));
    *request.uri_mut() = Uri::from_parts(parts).expect("scheme, authority and path are a whole URI");
}

#[cfg(test)]
mod tests {
    use http::{Request, Version};

    use super::translate;

    /// Ingress: 25
    #[test]
    fn heads_lose_what_http2_does_not_know() {
        for (target, host, wanted) in [
            ("/a?b=c", "web.example:80", "http://web.example:80/a?b=c"),
            ("/", "", "http://10.0.0.1:80/"),
            ("*", "web.example", "http://web.example*"),
        ] {
            let mut request = Request::options(target)
                .header("host", host)
                .header("connection", "te")
                .header("te", "trailers")
                .header("x", "y")
                .body(())
                .expect("a request");
            for _ in 0..2 {
                translate(&mut request, false, ([10, 0, 0, 1], 80).into());
                assert_eq!(
                    (request.version(), request.uri().path()),
                    (Version::HTTP_2, &target[..1.max(target.find('?').unwrap_or(1))])
                );
                let names: Vec<_> = request.headers().keys().map(|name| name.as_str()).collect();
                assert_eq!(names, ["te", "x"]);
                assert!(*request.uri() == *wanted || target == "*", "{}", request.uri());
            }
        }
    }
}
