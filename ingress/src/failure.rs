//! What can go wrong with an endpoint: one word a cause, the same in the access line, in the metric and in the policy of retries.
//!
//! Knows no sockets and no routes.

use std::io;

use http::StatusCode;

/// Why an exchange with an endpoint was no success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    ConnectRefused,
    ConnectTimeout,
    /// No route, no address, no socket left, a handshake that broke.
    ConnectFailed,
    TlsFailed,
    /// The endpoint reset the connection before its answer began.
    Reset,
    /// The endpoint closed the connection before its answer began.
    Closed,
    ResponseTimeout,
    /// The endpoint's machine acknowledges nothing any more.
    Vanished,
    /// What came back is no HTTP.
    BadAnswer,
    /// HTTP/2: the endpoint says that it did nothing with the request.
    RefusedStream,
    /// HTTP/2: the connection was being closed and the request not looked at.
    GoAway,
    Endpoint500,
    Endpoint502,
    Endpoint503,
    Endpoint504,
    /// Another 5xx of the endpoint.
    Endpoint5xx,
    /// The backend has as many requests as it may.
    Overload,
    /// A retry that the budget did not allow.
    Budget,
}

/// All causes and their words, in the order of the enum.
pub const CAUSES: [(Cause, &str); 18] = [
    (Cause::ConnectRefused, "connect_refused"),
    (Cause::ConnectTimeout, "connect_timeout"),
    (Cause::ConnectFailed, "connect_failed"),
    (Cause::TlsFailed, "tls_failed"),
    (Cause::Reset, "reset"),
    (Cause::Closed, "closed"),
    (Cause::ResponseTimeout, "response_timeout"),
    (Cause::Vanished, "vanished"),
    (Cause::BadAnswer, "bad_answer"),
    (Cause::RefusedStream, "refused_stream"),
    (Cause::GoAway, "goaway"),
    (Cause::Endpoint500, "endpoint_500"),
    (Cause::Endpoint502, "endpoint_502"),
    (Cause::Endpoint503, "endpoint_503"),
    (Cause::Endpoint504, "endpoint_504"),
    (Cause::Endpoint5xx, "endpoint_5xx"),
    (Cause::Overload, "overload"),
    (Cause::Budget, "retry_budget"),
];

impl Cause {
    /// The word for logs and metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        CAUSES[self as usize].1
    }

    /// A connect that the system answered with an error.
    #[must_use]
    pub fn of_connect(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::ConnectRefused,
            io::ErrorKind::ConnectionReset => Self::Reset,
            io::ErrorKind::TimedOut => Self::ConnectTimeout,
            _ => Self::ConnectFailed,
        }
    }

    /// A connection that ended before the answer began.
    #[must_use]
    pub fn of_exchange(error: &hyper::Error) -> Self {
        if error.is_parse() {
            return Self::BadAnswer;
        }
        let mut source = std::error::Error::source(error);
        while let Some(inner) = source {
            if let Some(error) = inner.downcast_ref::<io::Error>() {
                return Self::of_io(error);
            }
            source = inner.source();
        }
        Self::Closed
    }

    /// A connection that broke under a request.
    #[must_use]
    pub fn of_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Self::Reset,
            // The system's own limit for what is not acknowledged.
            io::ErrorKind::TimedOut => Self::Vanished,
            _ => Self::Closed,
        }
    }

    /// A request that an HTTP/2 endpoint did nothing with.
    #[must_use]
    pub fn of_refusal(error: &hyper::Error) -> Self {
        let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<h2::Error>());
        if source.is_some_and(h2::Error::is_go_away) { Self::GoAway } else { Self::RefusedStream }
    }

    /// Whether the endpoint has said that it did nothing with the request, so that any method may be sent again.
    #[must_use]
    pub const fn was_not_taken(self) -> bool {
        matches!(self, Self::RefusedStream | Self::GoAway)
    }

    /// An answer that counts as the endpoint's failure.
    #[must_use]
    pub fn of_status(status: StatusCode) -> Option<Self> {
        match status.as_u16() {
            500 => Some(Self::Endpoint500),
            502 => Some(Self::Endpoint502),
            503 => Some(Self::Endpoint503),
            504 => Some(Self::Endpoint504),
            // It does not know how: that is no sign of ill health.
            501 | 505 => None,
            code if code >= 500 => Some(Self::Endpoint5xx),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use http::StatusCode;

    use super::{CAUSES, Cause};

    /// Ingress: 62
    #[test]
    fn every_cause_has_a_word_of_its_own() {
        assert!(CAUSES.iter().enumerate().all(|(index, (cause, _))| *cause as usize == index));
        let mut words: Vec<_> = CAUSES.iter().map(|(_, word)| word).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), CAUSES.len());
        let io = |kind| Cause::of_connect(&io::Error::from(kind));
        assert_eq!(io(io::ErrorKind::ConnectionRefused), Cause::ConnectRefused);
        assert_eq!(io(io::ErrorKind::HostUnreachable), Cause::ConnectFailed);
        let of = |code| Cause::of_status(StatusCode::from_u16(code).expect("a status")).map(Cause::word);
        assert_eq!([of(503), of(501), of(507), of(404)], [Some("endpoint_503"), None, Some("endpoint_5xx"), None]);
    }
}
