//! The server name in a ClientHello, read without a handshake (RFC 8446 §4.1.2, RFC 6066 §3).
//!
//! Pure. What is malformed here gets its alert from the TLS library, which reads the same bytes again.

use std::borrow::Cow;

/// Bytes that are looked at; hellos of today, post-quantum shares included, have a tenth of it.
pub const MOST: usize = 20 * 1024;

const MOST_HELLO: usize = 16 * 1024;
const RECORD_HEAD: usize = 5;
/// Longest fragment of a record (RFC 8446 §5.1).
const FRAGMENT: usize = 1 << 14;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const HOST_NAME: u8 = 0;

/// What a ClientHello says about the server that it wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hello {
    /// In lower case, without a trailing dot.
    Named(Box<str>),
    Nameless,
    /// No ClientHello, or none that can be read.
    Strange,
}

/// Reads the hello that `bytes` begin with; `None` while it is not whole yet.
#[must_use]
pub fn hello(bytes: &[u8]) -> Option<Hello> {
    Some(match handshake(bytes)? {
        Some(body) => match server_name(&body) {
            Some(Some(name)) => Hello::Named(name),
            Some(None) => Hello::Nameless,
            None => Hello::Strange,
        },
        None => Hello::Strange,
    })
}

/// The ClientHello's body out of one record or several; the inner `None` is something else.
fn handshake(bytes: &[u8]) -> Option<Option<Cow<'_, [u8]>>> {
    let mut message = Cow::Borrowed(&[][..]);
    let mut rest = bytes;
    loop {
        let sound = |at: usize, fits: &dyn Fn(u8) -> bool| rest.get(at).is_none_or(|byte| fits(*byte));
        if !sound(0, &|kind| kind == super::HANDSHAKE) || !sound(1, &|major| major == super::TLS_MAJOR) {
            return Some(None);
        }
        let head = rest.get(..RECORD_HEAD)?;
        let length = usize::from(u16::from_be_bytes([head[3], head[4]]));
        if length == 0 || length > FRAGMENT {
            return Some(None);
        }
        let fragment = rest.get(RECORD_HEAD..RECORD_HEAD + length)?;
        rest = &rest[RECORD_HEAD + length..];
        if message.is_empty() {
            message = Cow::Borrowed(fragment);
        } else {
            message.to_mut().extend_from_slice(fragment);
        }
        let Some(&[kind, high, middle, low]) = message.first_chunk::<4>() else { continue };
        let total = 4 + u32::from_be_bytes([0, high, middle, low]) as usize;
        if kind != CLIENT_HELLO || total > MOST_HELLO {
            return Some(None);
        }
        if message.len() >= total {
            return Some(Some(match message {
                Cow::Borrowed(whole) => Cow::Borrowed(&whole[4..total]),
                Cow::Owned(mut whole) => {
                    whole.truncate(total);
                    whole.drain(..4);
                    Cow::Owned(whole)
                }
            }));
        }
    }
}

/// Walks over what comes before the extensions; the outer `None` is malformed.
fn server_name(hello: &[u8]) -> Option<Option<Box<str>>> {
    let (_, rest) = hello.split_at_checked(2 + 32)?;
    let (_, rest) = prefixed(rest, 1)?;
    let (_, rest) = prefixed(rest, 2)?;
    let (_, rest) = prefixed(rest, 1)?;
    if rest.is_empty() {
        return Some(None);
    }
    let (mut extensions, after) = prefixed(rest, 2)?;
    if !after.is_empty() {
        return None;
    }
    while !extensions.is_empty() {
        let kind = u16::from_be_bytes(*extensions.first_chunk()?);
        let (value, next) = prefixed(&extensions[2..], 2)?;
        if kind == SERVER_NAME {
            return first_name(value);
        }
        extensions = next;
    }
    Some(None)
}

fn first_name(value: &[u8]) -> Option<Option<Box<str>>> {
    let (list, after) = prefixed(value, 2)?;
    if !after.is_empty() {
        return None;
    }
    let (kind, rest) = list.split_first()?;
    let (name, _) = prefixed(rest, 2)?;
    if *kind != HOST_NAME {
        return Some(None);
    }
    let sound = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._".contains(byte);
    if name.len() > 255 || !name.iter().all(sound) {
        return None;
    }
    let name = std::str::from_utf8(name).ok()?.to_ascii_lowercase();
    let name = name.strip_suffix('.').unwrap_or(&name);
    (!name.split('.').any(str::is_empty)).then(|| Some(name.into()))
}

/// Splits off what a length of `width` bytes announces.
fn prefixed(bytes: &[u8], width: usize) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_at_checked(width)?;
    let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::crypto::ring;
    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, ClientConnection, RootCertStore};

    use super::{Hello, MOST, hello};

    /// What rustls would send.
    fn real(name: &str) -> Vec<u8> {
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let mut connection = ClientConnection::new(Arc::new(config), name).expect("a connection");
        let mut bytes = Vec::new();
        connection.write_tls(&mut bytes).expect("written");
        bytes
    }

    /// The same hello in records of `size` bytes.
    fn split(bytes: &[u8], size: usize) -> Vec<u8> {
        let record = |part: &[u8]| {
            let length = u16::try_from(part.len()).expect("short").to_be_bytes();
            [&[22, 3, 1][..], &length, part].concat()
        };
        bytes[5..].chunks(size).flat_map(record).collect()
    }

    #[test]
    fn the_name_is_found_once_the_hello_is_whole_however_it_is_cut() {
        let bytes = real("Web.Example");
        let named = Some(Hello::Named("web.example".into()));
        assert_eq!(hello(&bytes), named);
        assert_eq!(hello(&[&bytes[..], b"more"].concat()), named);
        for size in [1, 7, 100] {
            let bytes = split(&bytes, size);
            for cut in 0..bytes.len() {
                assert_eq!(hello(&bytes[..cut]), None, "{size} {cut}");
            }
            assert_eq!(hello(&bytes), named);
        }
        assert_eq!(hello(&real("10.0.0.1")), Some(Hello::Nameless));
    }

    #[test]
    fn what_is_no_hello_is_known_early() {
        for bytes in [
            &b"GET / HTTP/1.1"[..],
            b"\x16\x02",
            b"\x17\x03\x03",
            b"\x16\x03\x01\0\0",
            b"\x16\x03\x01\xff\xff",
            b"\x16\x03\x01\0\x04\x02\0\0\0",
            b"\x16\x03\x01\0\x04\x01\xff\xff\xff",
            b"\x16\x03\x01\0\x04\x01\0\0\0",
        ] {
            assert_eq!(hello(bytes), Some(Hello::Strange), "{bytes:?}");
        }
        assert_eq!(hello(b""), None);
    }

    #[test]
    fn a_name_with_an_empty_label_is_none() {
        let seed = real("web.example");
        let at = seed.windows(11).position(|window| window == b"web.example").expect("the name");
        for (name, wanted) in [
            (b"web.exampl.", Hello::Named("web.exampl".into())),
            (b"web.examp..", Hello::Strange),
            (b"web..xample", Hello::Strange),
            (b".eb.example", Hello::Strange),
            (b"...........", Hello::Strange),
        ] {
            let mut bytes = seed.clone();
            bytes[at..at + name.len()].copy_from_slice(name);
            assert_eq!(hello(&bytes), Some(wanted), "{}", name.escape_ascii());
        }
    }

    #[test]
    fn mutations_are_judged_without_a_panic() {
        let seed = real("web.example");
        let mut state = 0x2545_f491_4f6c_dd1du64;
        let mut draw = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % below as u64).expect("small")
        };
        let mut verdicts = [0; 4];
        for _ in 0..100_000 {
            let mut bytes = seed.clone();
            for _ in 0..=draw(3) {
                let at = draw(bytes.len());
                match draw(3) {
                    0 => bytes[at] = u8::try_from(draw(256)).expect("a byte"),
                    1 => bytes.truncate(at.max(1)),
                    _ => bytes[at] ^= 1 << draw(8),
                }
            }
            verdicts[match hello(&bytes) {
                None => 0,
                Some(Hello::Named(_)) => 1,
                Some(Hello::Nameless) => 2,
                Some(Hello::Strange) => 3,
            }] += 1;
        }
        assert!(verdicts.iter().all(|count| *count > 100), "{verdicts:?}");
        assert!(seed.len() < MOST);
    }
}
