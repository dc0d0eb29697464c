//! What a connection begins with: a PROXY header, a ClientHello, HTTP of some version. Verdicts come early and stay.

use std::fmt::Debug;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ingress::fuzzing::announce::{self, Announce, Ends, Header};
use ingress::fuzzing::sniff::{Hello, PREFACE, Spoken, hello, spoken};
use rustls::server::Acceptor;

use crate::ask::pieces;

/// The first byte says how it is cut, and what it is.
pub fn bytes(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    match first % 3 {
        0 => announced(*first, rest),
        1 => greeted(*first, rest),
        _ => {
            told(rest);
            begun(rest);
        }
    }
}

/// The verdict on all of the bytes, after a look at what is said of less: nothing, or the same.
fn settled<V: PartialEq + Debug>(seed: u8, bytes: &[u8], read: impl Fn(&[u8]) -> Option<V>) -> Option<V> {
    let wanted = read(bytes);
    let mut end = 0;
    for piece in pieces(seed, bytes) {
        end += piece.len();
        let verdict = read(&bytes[..end]);
        assert!(verdict.is_none() || verdict == wanted, "{verdict:?} after {end} bytes, {wanted:?} in the end");
    }
    wanted
}

fn announced(seed: u8, bytes: &[u8]) {
    let verdict = settled(seed, bytes, announce::read);
    assert!(verdict.is_some() || bytes.len() < announce::MOST, "there is a verdict after so many bytes");
    let Some(Ok(header)) = verdict else { return };
    assert!(header.length <= bytes.len().min(announce::MOST), "a header is of what came");
    let own = &bytes[..header.length];
    assert_eq!(announce::read(own), Some(Ok(header)), "what follows says nothing");
    assert_eq!(announce::read(&own[..own.len() - 1]), None, "a header has an end");
    if let Some(ends) = header.ends {
        round(ends);
    }
}

/// What we tell endpoints is what they read.
fn round(ends: Ends) {
    for version in [Announce::V1, Announce::V2] {
        let written = announce::write(version, &ends);
        let length = written.len();
        let Some(Ok(Header { ends: Some(read), length: taken })) = announce::read(&written) else {
            panic!("what was written is read");
        };
        let same =
            |a: SocketAddr, b: SocketAddr| (a.ip().to_canonical(), a.port()) == (b.ip().to_canonical(), b.port());
        assert!(
            taken == length && same(read.source, ends.source) && same(read.target, ends.target),
            "{ends:?} {read:?}"
        );
    }
}

/// The same of ends that no header brought.
fn told(bytes: &[u8]) {
    let Some((chunk, _)) = bytes.split_first_chunk::<36>() else { return };
    let address = |at: usize| {
        let six: [u8; 16] = chunk[at..at + 16].try_into().expect("16 bytes");
        match six.split_first_chunk::<4>() {
            Some((four, _)) if chunk[at + 15] % 2 == 0 => IpAddr::V4(Ipv4Addr::from(*four)),
            _ => IpAddr::V6(Ipv6Addr::from(six)),
        }
    };
    let port = |at: usize| u16::from_be_bytes([chunk[at], chunk[at + 1]]);
    round(Ends { source: SocketAddr::new(address(0), port(32)), target: SocketAddr::new(address(16), port(34)) });
}

/// Nobody is taken through by a name that the library would have read differently.
fn greeted(seed: u8, bytes: &[u8]) {
    let verdict = settled(seed, bytes, hello);
    if let Some(Hello::Named(name)) = &verdict {
        assert!(name.len() <= 255 && !name.split('.').any(str::is_empty), "{name:?}");
        assert!(name.bytes().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase()), "{name:?}");
    }
    let mut acceptor = Acceptor::default();
    let mut rest = bytes;
    let accepted = loop {
        match acceptor.read_tls(&mut rest) {
            Ok(1..) => {}
            Ok(0) | Err(_) => return,
        }
        match acceptor.accept() {
            Ok(None) => {}
            Ok(Some(accepted)) => break accepted,
            Err(_) => return,
        }
    };
    let read = accepted.client_hello().server_name().map(|name| name.trim_end_matches('.').to_ascii_lowercase());
    match &verdict {
        Some(Hello::Named(name)) => assert_eq!(Some(&**name), read.as_deref(), "one name"),
        Some(Hello::Nameless) => assert_eq!(read, None, "no name"),
        // Such a connection is not taken through: the library reads it.
        Some(Hello::Strange) => {}
        None => panic!("the hello is whole"),
    }
}

/// What is clearly TLS or HTTP/2 stays so, and whatever is known is known from then on.
fn begun(bytes: &[u8]) {
    let mut before = None;
    for end in 0..=bytes.len().min(2 * PREFACE.len()) {
        let verdict = spoken(&bytes[..end]);
        match before {
            None => {}
            Some(Spoken::Http1) => assert!(matches!(verdict, Some(Spoken::Http1 | Spoken::Unknown))),
            Some(_) => assert_eq!(verdict, before),
        }
        before = verdict;
    }
}
