//! How a line is written: JSON, or nginx's combined format; straight into the queue's memory.
//!
//! Pure: bytes in, bytes out; the time is passed in.

pub mod combined;
pub mod json;

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::Version;
use jiff::Timestamp;
use jiff::fmt::strtime;

use crate::config::LogFormat;

/// What a request says at its beginning.
pub struct Asked<'r> {
    pub address: IpAddr,
    /// The same as text, where it is at hand.
    pub address_text: Option<&'r [u8]>,
    pub scheme: &'r [u8],
    pub version: Version,
    pub method: &'r [u8],
    pub host: &'r [u8],
    pub path: &'r [u8],
    pub agent: &'r [u8],
    pub referer: &'r [u8],
}

/// A moment as text, whose seconds are written once for all lines of that second.
pub struct Stamp {
    format: LogFormat,
    second: u64,
    text: Vec<u8>,
    micros: u32,
}

impl Stamp {
    /// No moment yet.
    #[must_use]
    pub const fn new(format: LogFormat) -> Self {
        Self { format, second: u64::MAX, text: Vec::new(), micros: 0 }
    }

    /// This moment from here on.
    pub fn set(&mut self, now: SystemTime) {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        self.micros = since.subsec_micros();
        if since.as_secs() != self.second {
            self.second = since.as_secs();
            let moment = i64::try_from(self.second).ok().and_then(|second| Timestamp::from_second(second).ok());
            let form = match self.format {
                LogFormat::Json => "%Y-%m-%dT%H:%M:%S",
                LogFormat::Combined => "%d/%b/%Y:%H:%M:%S +0000",
            };
            self.text = strtime::format(form, moment.unwrap_or(Timestamp::UNIX_EPOCH)).unwrap_or_default().into_bytes();
        }
    }
}

/// As a request line has it.
fn protocol(version: Version) -> &'static [u8] {
    match version {
        Version::HTTP_10 => b"HTTP/1.0",
        Version::HTTP_2 => b"HTTP/2.0",
        _ => b"HTTP/1.1",
    }
}

fn address(to: &mut Vec<u8>, asked: &Asked<'_>) {
    match asked.address_text {
        Some(text) => to.extend_from_slice(text),
        None => write!(to, "{}", asked.address).expect("memory takes every byte"),
    }
}

fn endpoint(to: &mut Vec<u8>, endpoint: SocketAddr) {
    let IpAddr::V4(v4) = endpoint.ip() else {
        return write!(to, "{endpoint}").expect("memory takes every byte");
    };
    for (place, octet) in v4.octets().into_iter().enumerate() {
        if place > 0 {
            to.push(b'.');
        }
        number(to, u64::from(octet));
    }
    to.push(b':');
    number(to, u64::from(endpoint.port()));
}

/// In decimal digits.
pub fn number(to: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(number % 10).expect("a digit");
        number /= 10;
        if number == 0 {
            return to.extend_from_slice(&digits[at..]);
        }
    }
}

/// Six digits, with zeros in front.
fn micros(to: &mut Vec<u8>, mut micros: u32) {
    let mut digits = [b'0'; 6];
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(micros % 10).expect("a digit");
        micros /= 10;
    }
    to.extend_from_slice(&digits);
}

/// Whether every byte stands for itself in both formats.
fn is_plain(bytes: &[u8]) -> bool {
    // Without an early end the compiler looks at many bytes at once.
    bytes.iter().fold(true, |plain, byte| plain & (*byte >= 0x20) & (*byte < 0x7f) & (*byte != b'"') & (*byte != b'\\'))
}

fn hexadecimal(nibble: u8) -> u8 {
    b"0123456789abcdef"[usize::from(nibble & 0xf)]
}
