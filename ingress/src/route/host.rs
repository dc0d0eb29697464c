//! The host of a request in the one form that routes are looked up by: lower case, without port and trailing dot.
//!
//! Strict, since what passes here is what routes, logs and upstream see.

/// Longest host that can match a route (RFC 1035 §2.3.4), and the size of the stack buffer.
pub const HOST_MAX: usize = 255;

/// A normalised host on the stack.
#[derive(Debug, Clone, Copy)]
pub struct Host {
    bytes: [u8; HOST_MAX],
    len: usize,
}

/// Why an authority is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    #[error("the host is longer than {HOST_MAX} characters")]
    TooLong,
    #[error("the host has a character that no host name may have")]
    Character,
    #[error("the host's port is no number from 1 to 65535")]
    Port,
}

impl Host {
    /// Reads `host[:port]` as in a `Host` field or an authority without user.
    ///
    /// # Errors
    /// [`HostError`] names the part that is wrong.
    pub fn parse(authority: &[u8]) -> Result<Self, HostError> {
        let name = match authority.first() {
            Some(b'[') => bracketed(authority)?,
            _ => match memchr::memchr(b':', authority) {
                Some(colon) => {
                    port(&authority[colon + 1..])?;
                    &authority[..colon]
                }
                None => authority,
            },
        };
        let name = name.strip_suffix(b".").unwrap_or(name);
        if name.len() > HOST_MAX {
            return Err(HostError::TooLong);
        }
        let mut host = Self { bytes: [0; HOST_MAX], len: name.len() };
        let plain = name.first() != Some(&b'[');
        for (to, &byte) in host.bytes.iter_mut().zip(name) {
            if plain && !(byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')) {
                return Err(HostError::Character);
            }
            *to = byte.to_ascii_lowercase();
        }
        Ok(host)
    }

    /// No host at all, as HTTP/1.0 allows.
    #[must_use]
    pub const fn none() -> Self {
        Self { bytes: [0; HOST_MAX], len: 0 }
    }

    /// The normalised name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len]).expect("parse admits ASCII only")
    }
}

fn bracketed(authority: &[u8]) -> Result<&[u8], HostError> {
    let close = memchr::memchr(b']', authority).ok_or(HostError::Character)?;
    let inner = &authority[1..close];
    if inner.is_empty() || !inner.iter().all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.')) {
        return Err(HostError::Character);
    }
    match &authority[close + 1..] {
        [] => {}
        [b':', digits @ ..] => port(digits)?,
        _ => return Err(HostError::Character),
    }
    Ok(&authority[..=close])
}

/// An empty port is allowed (RFC 3986 §3.2.3).
fn port(digits: &[u8]) -> Result<(), HostError> {
    if digits.is_empty() {
        return Ok(());
    }
    let number = digits.iter().try_fold(0u32, |sum, digit| {
        let digit = digit.is_ascii_digit().then(|| u32::from(digit - b'0'))?;
        Some(sum * 10 + digit).filter(|sum| *sum <= 65_535)
    });
    number.filter(|n| *n != 0).map(|_| ()).ok_or(HostError::Port)
}

#[cfg(test)]
mod tests {
    use super::{Host, HostError};

    #[test]
    fn hosts_lose_port_case_and_one_dot() {
        for (given, wanted) in [
            ("Web.Example.COM", "web.example.com"),
            ("web.example.com.:8080", "web.example.com"),
            ("web.example.com:", "web.example.com"),
            ("[::1]:80", "[::1]"),
            ("[FE80::1]", "[fe80::1]"),
            ("a_b.c", "a_b.c"),
            ("", ""),
        ] {
            assert_eq!(Host::parse(given.as_bytes()).map(|h| h.as_str().to_owned()), Ok(wanted.to_owned()), "{given}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for (given, wanted) in [
            ("user@host", HostError::Character),
            ("a/b", HostError::Character),
            ("a b", HostError::Character),
            ("a:0", HostError::Port),
            ("a:65536", HostError::Port),
            ("a:99999999999999999999", HostError::Port),
            ("a:8o", HostError::Port),
            ("[::1", HostError::Character),
            ("[]", HostError::Character),
            ("[::1]x", HostError::Character),
            ("b\u{e9}", HostError::Character),
        ] {
            assert_eq!(Host::parse(given.as_bytes()).map(|h| h.as_str().to_owned()), Err(wanted), "{given}");
        }
        assert_eq!(Host::parse(&[b'a'; 256]).map(|h| h.len), Err(HostError::TooLong));
    }
}
