//! Upstream connections of one worker: connect, exchange one request, keep for the next.
//!
//! An HTTP/1.1 connection is driven by the task of the request that uses it: no task of its own, no wake between tasks.

pub mod hearing;
mod link;
mod pool;
mod shared;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;

pub use link::Link;
pub use pool::{Lease, Pool};

use crate::announce::Ends;
use crate::proxy::body::RequestBody;
use crate::route::{Endpoint, Wire};

type Connection = http1::Connection<TokioIo<Link>, RequestBody>;

/// Whom to ask, and how.
#[derive(Clone, Copy)]
pub struct Target<'t> {
    pub endpoint: &'t Endpoint,
    pub wire: &'t Wire,
    /// On whose behalf, if the endpoint is to know.
    pub ends: Option<Ends>,
}

/// One connection to an endpoint, with the sender of its requests.
pub struct Upstream {
    sender: SendRequest<RequestBody>,
    driver: Driver,
    /// Ours first.
    ends: Ends,
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
    #[error("the TLS handshake failed: {0}")]
    Tls(#[source] std::io::Error),
    #[error("it does not agree to HTTP/2")]
    NotHttp2,
    #[error("the new connection could not be set up: {0}")]
    Setup(#[source] hyper::Error),
}

/// Why an exchange ended without an answer.
pub enum ExchangeError {
    /// Nothing was sent: the request is whole again.
    Unsent(Box<Request<RequestBody>>),
    /// Sent, but the endpoint has said that it did nothing with it: any method may be sent again.
    Refused(hyper::Error),
    /// Something may have been sent.
    Lost(hyper::Error),
}

impl Upstream {
    /// Speaks HTTP/1.1 over `link` from here on.
    async fn start(link: Link, head_bytes: usize) -> Result<Self, ConnectError> {
        let mut builder = http1::Builder::new();
        builder.max_buf_size(head_bytes.max(8 * 1024));
        let ends = link.ends();
        let (sender, connection) = builder.handshake(TokioIo::new(link)).await.map_err(ConnectError::Setup)?;
        Ok(Self { sender, driver: Driver::User(Box::new(connection)), ends })
    }

    /// Sends `request` and waits for the head of the answer.
    ///
    /// # Errors
    /// [`ExchangeError`] says whether the request may be sent again.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection when the lease is dropped, too.
    async fn exchange(&mut self, request: Request<RequestBody>) -> Result<Response<Incoming>, ExchangeError> {
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

    /// The bare connection, if it waits for a request and nothing else has come over it.
    fn into_link(mut self) -> Option<Link> {
        if !self.is_reusable() {
            return None;
        }
        let Driver::User(connection) = self.driver else { return None };
        let parts = connection.into_parts();
        parts.read_buf.is_empty().then(|| parts.io.into_inner())
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
