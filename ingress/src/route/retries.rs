//! When a request may be sent again: which failures, how often, for how long (`proxy-next-upstream*`).
//!
//! Plain values and their parser; what a failure is called is `failure`'s.

use std::time::Duration;

use http::{Method, StatusCode};

use crate::failure::Cause;

/// Answers that may be asked for again, by nginx' names.
const STATUSES: [(u16, &str); 7] = [
    (500, "http_500"),
    (502, "http_502"),
    (503, "http_503"),
    (504, "http_504"),
    (403, "http_403"),
    (404, "http_404"),
    (429, "http_429"),
];
/// Endpoints asked where the number of tries is left open.
const TRIES_MAX: usize = 16;

/// A route's policy of retries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retries {
    error: bool,
    timeout: bool,
    invalid_header: bool,
    non_idempotent: bool,
    off: bool,
    /// Bits of `STATUSES`.
    statuses: u8,
    /// Endpoints asked in all, `None` as the listener has it.
    pub tries: Option<usize>,
    /// No try begins later than this after the first, `None` as long as one answer may take.
    pub within: Option<Duration>,
    /// Bytes of a request's body that are kept, so that it can be sent again; 0 keeps none.
    pub replay: usize,
}

/// A word that is no condition of `proxy-next-upstream`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is none of error, timeout, invalid_header, http_500, http_502, http_503, http_504, http_403, http_404, http_429, non_idempotent, off"
)]
pub struct RetryError(String);

impl Default for Retries {
    fn default() -> Self {
        Self {
            error: true,
            timeout: true,
            invalid_header: false,
            non_idempotent: false,
            off: false,
            statuses: 0,
            tries: None,
            within: None,
            replay: 0,
        }
    }
}

impl std::str::FromStr for Retries {
    type Err = RetryError;

    /// Reads the words of `proxy-next-upstream`, separated by blanks.
    fn from_str(text: &str) -> Result<Self, RetryError> {
        let mut retries = Self { error: false, timeout: false, ..Self::default() };
        for word in text.split_ascii_whitespace() {
            match word {
                "error" => retries.error = true,
                "timeout" => retries.timeout = true,
                "invalid_header" => retries.invalid_header = true,
                "non_idempotent" => retries.non_idempotent = true,
                "off" => retries.off = true,
                _ => {
                    let known = STATUSES.iter().position(|(_, name)| *name == word);
                    retries.statuses |= 1 << known.ok_or_else(|| RetryError(word.to_owned()))?;
                }
            }
        }
        Ok(retries)
    }
}

impl Retries {
    /// Bounds tries and time, where 0 means no bound, as with nginx.
    #[must_use]
    pub fn bounded(mut self, tries: Option<usize>, within: Option<Duration>) -> Self {
        self.tries = tries.map(|tries| if tries == 0 { TRIES_MAX } else { tries.min(TRIES_MAX) });
        self.within = within.map(|within| if within.is_zero() { Duration::MAX } else { within });
        self
    }

    /// Keeps bodies up to this many bytes for another try.
    #[must_use]
    pub const fn replaying(mut self, bytes: usize) -> Self {
        self.replay = bytes;
        self
    }

    /// Whether a request of this method may reach endpoints twice.
    #[must_use]
    pub fn repeats(&self, method: &Method) -> bool {
        !self.off && (idempotent(method) || self.non_idempotent)
    }

    /// Whether every answer is taken as it is.
    #[must_use]
    pub const fn takes_all(&self) -> bool {
        self.statuses == 0
    }

    /// Whether this answer may be asked for again.
    #[must_use]
    pub fn again_after(&self, status: StatusCode) -> bool {
        if self.statuses == 0 {
            return false;
        }
        let known = STATUSES.iter().position(|(code, _)| *code == status.as_u16());
        known.is_some_and(|bit| self.statuses & 1 << bit != 0)
    }

    /// Whether a failure of this kind is worth another try, for a request that may have been seen.
    #[must_use]
    pub const fn covers(&self, cause: Cause) -> bool {
        match cause {
            Cause::ResponseTimeout => self.timeout,
            Cause::Vanished => self.timeout || self.error,
            Cause::BadAnswer => self.invalid_header,
            Cause::Reset | Cause::Closed => self.error,
            _ => self.covers_unsent(),
        }
    }

    /// Whether a request that nobody has seen is sent elsewhere: unless retries are off altogether.
    #[must_use]
    pub const fn covers_unsent(&self) -> bool {
        !self.off
    }
}

/// Methods that may be sent twice (RFC 9110 §9.2.2).
fn idempotent(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{Method, StatusCode};

    use super::{Retries, TRIES_MAX};
    use crate::failure::Cause;

    /// Ingress: 60
    #[test]
    fn words_say_what_is_sent_again() {
        let of = |text: &str| text.parse::<Retries>().expect(text);
        let plain = Retries::default();
        assert_eq!(of("error timeout"), plain);
        for (retries, cause, wanted) in [
            (&plain, Cause::Reset, true),
            (&plain, Cause::Closed, true),
            (&plain, Cause::ResponseTimeout, true),
            (&plain, Cause::BadAnswer, false),
            (&of("invalid_header"), Cause::BadAnswer, true),
            (&of("invalid_header"), Cause::Reset, false),
            (&of("http_502"), Cause::ConnectRefused, true),
            (&of("off"), Cause::ConnectRefused, false),
        ] {
            assert_eq!(retries.covers(cause), wanted, "{retries:?} {cause:?}");
        }
        for (text, code, wanted) in [
            ("error", 502, false),
            ("http_502 http_429", 502, true),
            ("http_502 http_429", 429, true),
            ("http_502 http_429", 503, false),
            ("http_404", 404, true),
        ] {
            assert_eq!(of(text).again_after(StatusCode::from_u16(code).expect("a status")), wanted, "{text} {code}");
        }
        for method in [Method::POST, Method::PATCH, Method::from_bytes(b"LOCK").expect("a method")] {
            assert!(!plain.repeats(&method) && of("error non_idempotent").repeats(&method), "{method}");
            assert!(!of("off non_idempotent").repeats(&method));
        }
        assert!(plain.repeats(&Method::GET) && plain.repeats(&Method::DELETE));
        let wrong = "error http_501".parse::<Retries>().expect_err("no such condition");
        assert!(wrong.to_string().starts_with("\"http_501\" is none of error, "), "{wrong}");
        let open = plain.bounded(Some(0), Some(Duration::ZERO));
        assert_eq!((open.tries, open.within), (Some(TRIES_MAX), Some(Duration::MAX)));
    }
}
