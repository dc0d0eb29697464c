//! The PROXY protocol, versions 1 and 2: who a connection is from, told by whoever passes it on, and by us to endpoints.
//!
//! Pure: bytes in, addresses out, and back. Source: haproxy's doc/proxy-protocol.txt, §2.1 and §2.2.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::route::Announce;

/// The longest header that is read: version 2 allows 64 KiB, nobody sends more than a few hundred bytes.
pub const MOST: usize = 4096;

/// The longest line of version 1.
const LINE: usize = 107;
const V1: &[u8] = b"PROXY ";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, command, family, length.
const V2_HEAD: usize = 16;
const V2_LOCAL: u8 = 0x20;
const V2_PROXY: u8 = 0x21;
const TLV_CRC32C: u8 = 3;

/// Both ends of a client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    pub source: SocketAddr,
    pub target: SocketAddr,
}

/// A header that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// `None` where the sender speaks for itself, or does not know.
    pub ends: Option<Ends>,
    /// Bytes that the header took.
    pub length: usize,
}

/// What a header can have wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("there is no PROXY header")]
    Absent,
    #[error("the PROXY line is malformed")]
    Line,
    #[error("the PROXY header has an unknown version, command or family")]
    Kind,
    #[error("the PROXY header is too short for its addresses, or too long")]
    Length,
    #[error("the PROXY header's extensions do not fit into it")]
    Extension,
    #[error("the PROXY header's checksum is wrong")]
    Checksum,
}

/// Reads the header that `bytes` begin with; `None` while it is not whole yet.
#[must_use]
pub fn read(bytes: &[u8]) -> Option<Result<Header, Fault>> {
    if bytes.starts_with(V2) {
        return read_v2(bytes);
    }
    if bytes.starts_with(V1) {
        return read_v1(bytes);
    }
    if V1.starts_with(bytes) || V2.starts_with(bytes) {
        return None;
    }
    Some(Err(Fault::Absent))
}

fn read_v1(bytes: &[u8]) -> Option<Result<Header, Fault>> {
    let within = &bytes[..bytes.len().min(LINE)];
    let Some(end) = within.windows(2).position(|pair| pair == b"\r\n") else {
        return (bytes.len() >= LINE).then_some(Err(Fault::Line));
    };
    let header = |ends| Header { ends, length: end + 2 };
    let line = std::str::from_utf8(&bytes[V1.len()..end]).ok();
    Some(line.and_then(line_ends).map(header).ok_or(Fault::Line))
}

fn line_ends(line: &str) -> Option<Option<Ends>> {
    let mut words = line.split(' ');
    let family = words.next()?;
    if family == "UNKNOWN" {
        // Whatever follows must be ignored.
        return Some(None);
    }
    let mut address = || -> Option<IpAddr> {
        let word = words.next()?;
        match family {
            "TCP4" => word.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            "TCP6" => word.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            _ => None,
        }
    };
    let (source, target) = (address()?, address()?);
    let mut port = || {
        let word = words.next()?;
        let sound = word.bytes().all(|byte| byte.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
        word.parse::<u16>().ok().filter(|_| sound)
    };
    let (from, to) = (port()?, port()?);
    let ends = Ends { source: SocketAddr::new(source, from), target: SocketAddr::new(target, to) };
    words.next().is_none().then_some(Some(ends))
}

fn read_v2(bytes: &[u8]) -> Option<Result<Header, Fault>> {
    let head = bytes.get(V2.len()..V2_HEAD)?;
    let (command, family) = (head[0], head[1]);
    let length = V2_HEAD + usize::from(u16::from_be_bytes([head[2], head[3]]));
    if !matches!(command, V2_LOCAL | V2_PROXY) {
        return Some(Err(Fault::Kind));
    }
    if length > MOST {
        return Some(Err(Fault::Length));
    }
    let whole = bytes.get(..length)?;
    Some(v2_ends(command, family, whole).map(|ends| Header { ends, length }))
}

fn v2_ends(command: u8, family: u8, whole: &[u8]) -> Result<Option<Ends>, Fault> {
    if command == V2_LOCAL {
        // A health check of the proxy itself: the rest says nothing.
        return Ok(None);
    }
    let rest = &whole[V2_HEAD..];
    // Two addresses, two ports; of paths of local sockets nothing is read.
    let size = match family {
        0x00 => 0,
        0x11 => 12,
        0x21 => 36,
        0x31 => 216,
        _ => return Err(Fault::Kind),
    };
    let (addresses, extensions) = rest.split_at_checked(size).ok_or(Fault::Length)?;
    check_extensions(extensions, whole)?;
    let port = |at: usize| u16::from_be_bytes([addresses[at], addresses[at + 1]]);
    Ok(match family {
        0x11 => {
            let address = |at: usize| Ipv4Addr::from(<[u8; 4]>::try_from(&addresses[at..at + 4]).expect("four bytes"));
            Some(Ends { source: (address(0), port(8)).into(), target: (address(4), port(10)).into() })
        }
        0x21 => {
            let address = |at: usize| Ipv6Addr::from(<[u8; 16]>::try_from(&addresses[at..at + 16]).expect("16 bytes"));
            Some(Ends { source: (address(0), port(32)).into(), target: (address(16), port(34)).into() })
        }
        _ => None,
    })
}

/// Type, length, value, one after the other; only the checksum means anything to us.
fn check_extensions(extensions: &[u8], whole: &[u8]) -> Result<(), Fault> {
    let mut rest = extensions;
    while let Some((head, after)) = rest.split_at_checked(3) {
        let length = usize::from(u16::from_be_bytes([head[1], head[2]]));
        let (value, after) = after.split_at_checked(length).ok_or(Fault::Extension)?;
        if head[0] == TLV_CRC32C {
            let told = <[u8; 4]>::try_from(value).map_err(|_| Fault::Extension)?;
            let at = whole.len() - after.len() - 4;
            let zeroed = whole[..at].iter().chain(&[0; 4]).chain(&whole[at + 4..]);
            if crc32c(zeroed) != u32::from_be_bytes(told) {
                return Err(Fault::Checksum);
            }
        }
        rest = after;
    }
    if rest.is_empty() { Ok(()) } else { Err(Fault::Extension) }
}

/// CRC-32C (Castagnoli), bit by bit: headers are short and come once a connection.
fn crc32c<'b>(bytes: impl Iterator<Item = &'b u8>) -> u32 {
    !bytes.fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 & 0u32.wrapping_sub(crc & 1)))
    })
}

/// The header that tells an endpoint who its client is.
#[must_use]
pub fn write(version: Announce, ends: &Ends) -> Vec<u8> {
    let (source, target) = (ends.source, ends.target);
    match (version, source.ip().to_canonical(), target.ip().to_canonical()) {
        (Announce::V1, IpAddr::V4(from), IpAddr::V4(to)) => {
            format!("PROXY TCP4 {from} {to} {} {}\r\n", source.port(), target.port()).into_bytes()
        }
        (Announce::V1, from, to) => {
            let (from, to) = (as_v6(from), as_v6(to));
            format!("PROXY TCP6 {from} {to} {} {}\r\n", source.port(), target.port()).into_bytes()
        }
        (Announce::V2, IpAddr::V4(from), IpAddr::V4(to)) => {
            let addresses = [from.octets(), to.octets()].concat();
            v2(0x11, addresses, ends)
        }
        (Announce::V2, from, to) => {
            let addresses = [as_v6(from).octets(), as_v6(to).octets()].concat();
            v2(0x21, addresses, ends)
        }
    }
}

fn as_v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

fn v2(family: u8, addresses: Vec<u8>, ends: &Ends) -> Vec<u8> {
    let length = u16::try_from(addresses.len() + 4).expect("two addresses and two ports are short");
    let head = [V2_PROXY, family];
    let ports = [ends.source.port().to_be_bytes(), ends.target.port().to_be_bytes()].concat();
    [V2, &head, &length.to_be_bytes(), &addresses, &ports].concat()
}

#[cfg(test)]
mod tests;
