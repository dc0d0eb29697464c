//! Upstream connections of one worker: connect, exchange one request, keep for the next.
//!
//! A connection is driven by the task of the request that uses it: no task of its own, no wake between tasks.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpStream;

use crate::clock;
use crate::config::Timeouts;
use crate::proxy::body::RequestBody;
use crate::route::{Endpoint, RouteTable};

type Connection = http1::Connection<TokioIo<TcpStream>, RequestBody>;

/// One connection to an endpoint, with the sender of its requests.
pub struct Upstream {
    sender: SendRequest<RequestBody>,
    driver: Driver,
}

/// Who polls a connection.
enum Driver {
    /// Whoever uses it.
    User(Box<Connection>),
    /// Nobody, it has ended: by closing or by switching protocols.
    Ended(Box<Connection>),
    /// Nobody any more, or a task of its own.
    Gone,
}

/// Why no connection could be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("connect refused or failed: {0}")]
    Failed(#[from] std::io::Error),
    #[error("connect not answered in time")]
    Timeout,
    #[error("the new connection could not be set up: {0}")]
    Setup(#[source] hyper::Error),
}

/// Why an exchange ended without an answer.
pub enum ExchangeError {
    /// Nothing was sent: the request is whole again.
    Unsent(Box<Request<RequestBody>>),
    /// Something may have been sent.
    Lost(hyper::Error),
}

/// Idle connections by endpoint.
pub struct Pool {
    /// Guards the idle lists; only this worker's tasks take it, so it is never contended, and never held across a wait.
    idle: Mutex<HashMap<u64, Vec<Idle>>>,
    per_endpoint: usize,
    keep_alive: u64,
}

struct Idle {
    upstream: Upstream,
    since: u64,
}

/// A connection in use, and the pool that it goes back to.
pub struct Lease {
    upstream: Option<Upstream>,
    pool: Arc<Pool>,
    endpoint: u64,
}

impl Upstream {
    /// Connects to `endpoint`.
    ///
    /// # Errors
    /// [`ConnectError`]; nothing has been sent then.
    pub async fn connect(endpoint: &Endpoint, limits: &Timeouts, head_bytes: usize) -> Result<Self, ConnectError> {
        let connecting = TcpStream::connect(endpoint.key.address);
        let stream = tokio::time::timeout(limits.connect, connecting).await.map_err(|_| ConnectError::Timeout)??;
        stream.set_nodelay(true)?;
        #[cfg(target_os = "linux")]
        socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(limits.unacknowledged))?;
        let mut builder = http1::Builder::new();
        builder.max_buf_size(head_bytes.max(8 * 1024));
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(ConnectError::Setup)?;
        Ok(Self { sender, driver: Driver::User(Box::new(connection)) })
    }

    /// Sends `request` and waits for the head of the answer.
    ///
    /// # Errors
    /// [`ExchangeError`] says whether the request may be sent again.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection when the lease is dropped, too.
    pub async fn exchange(&mut self, request: Request<RequestBody>) -> Result<Response<Incoming>, ExchangeError> {
        let mut sending = pin!(self.sender.try_send_request(request));
        let driver = &mut self.driver;
        let answer = poll_fn(|cx| {
            // Only the connection, polled right here, can make the answer ready: it needs no wake.
            let nowhere = &mut Context::from_waker(Waker::noop());
            driver.poll(cx);
            match sending.as_mut().poll(nowhere) {
                Poll::Pending if !driver.is_user() => {
                    // It ended without an answer: dropped, it gives back what it has not sent.
                    *driver = Driver::Gone;
                    sending.as_mut().poll(cx)
                }
                polled => polled,
            }
        });
        answer.await.map_err(|mut error| match error.take_message() {
            Some(request) => ExchangeError::Unsent(Box::new(request)),
            None => ExchangeError::Lost(error.into_error()),
        })
    }

    fn is_reusable(&mut self) -> bool {
        self.driver.poll(&mut Context::from_waker(Waker::noop()));
        self.driver.is_user() && self.sender.is_ready()
    }
}

impl Driver {
    const fn is_user(&self) -> bool {
        matches!(self, Self::User(_))
    }

    fn poll(&mut self, cx: &mut Context<'_>) {
        let Self::User(connection) = self else { return };
        if let Poll::Ready(end) = connection.poll_without_shutdown(cx) {
            if let Err(error) = end {
                tracing::debug!(%error, "upstream connection ended");
            }
            if let Self::User(connection) = std::mem::replace(self, Self::Gone) {
                *self = Self::Ended(connection);
            }
        }
    }
}

impl Pool {
    /// A pool that keeps `per_endpoint` connections for `keep_alive`.
    #[must_use]
    pub fn new(per_endpoint: usize, keep_alive: Duration) -> Self {
        let keep_alive = u64::try_from(keep_alive.as_millis()).unwrap_or(u64::MAX);
        Self { idle: Mutex::default(), per_endpoint, keep_alive }
    }

    /// The connection that was used last, if one is still young enough.
    pub fn take(self: &Arc<Self>, endpoint: u64) -> Option<Lease> {
        let now = clock::now();
        let mut idle = self.idle.lock();
        let kept = idle.get_mut(&endpoint)?;
        let young = kept.pop().filter(|idle| now.saturating_sub(idle.since) < self.keep_alive);
        if young.is_none() {
            // The last one in is too old, so all are.
            kept.clear();
        }
        Some(self.lease(young?.upstream, endpoint))
    }

    /// Puts a fresh connection to use.
    pub fn lease(self: &Arc<Self>, upstream: Upstream, endpoint: u64) -> Lease {
        Lease { upstream: Some(upstream), pool: self.clone(), endpoint }
    }

    /// Closes what is too old, was closed by the other side, or leads to an endpoint that is gone.
    pub fn sweep(&self, table: &RouteTable) {
        let now = clock::now();
        self.idle.lock().retain(|endpoint, kept| {
            let live = table.is_live(*endpoint);
            kept.retain_mut(|idle| {
                live && now.saturating_sub(idle.since) < self.keep_alive && idle.upstream.is_reusable()
            });
            !kept.is_empty()
        });
    }

    fn keep(&self, endpoint: u64, upstream: Upstream) {
        let mut idle = self.idle.lock();
        let kept = idle.entry(endpoint).or_default();
        if kept.len() < self.per_endpoint {
            kept.push(Idle { upstream, since: clock::now() });
        }
    }
}

impl Lease {
    /// The connection itself.
    pub fn upstream(&mut self) -> &mut Upstream {
        self.upstream.as_mut().expect("a lease holds its connection until it is settled")
    }

    /// Whether the connection is polled by whoever polls the answer's body.
    #[must_use]
    pub fn drives(&self) -> bool {
        self.upstream.as_ref().is_some_and(|upstream| upstream.driver.is_user())
    }

    /// Lets the connection read and write; says whether it goes on.
    pub fn drive(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(upstream) = &mut self.upstream else { return false };
        upstream.driver.poll(cx);
        if !upstream.driver.is_user() {
            // Dropped, it ends the body that it was reading.
            upstream.driver = Driver::Gone;
        }
        upstream.driver.is_user()
    }

    /// Hands the connection to a task of its own: a request body that is still on its way must not wait for the
    /// client to read the answer.
    pub fn detach(&mut self) {
        let Some(upstream) = self.upstream.as_mut().filter(|upstream| upstream.driver.is_user()) else { return };
        if let Driver::User(connection) = std::mem::replace(&mut upstream.driver, Driver::Gone) {
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "upstream connection ended");
                }
            });
        }
    }

    /// Drives the connection until it has switched protocols; then its socket, and what was read beyond the answer.
    pub async fn switched(mut self) -> Option<(TcpStream, Bytes)> {
        let mut upstream = self.upstream.take()?;
        poll_fn(|cx| {
            upstream.driver.poll(cx);
            if upstream.driver.is_user() { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
        let Driver::Ended(connection) = upstream.driver else { return None };
        let parts = connection.into_parts();
        Some((parts.io.into_inner(), parts.read_buf))
    }

    /// The answer has come through whole: keeps the connection if it can serve another request.
    pub fn settle(&mut self) {
        if let Some(mut upstream) = self.upstream.take()
            && upstream.is_reusable()
        {
            self.pool.keep(self.endpoint, upstream);
        }
    }
}
