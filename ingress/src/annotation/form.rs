//! What values of annotations look like: one form for each row of the table, tried on every value whoever reads it later.
//!
//! Pure. Says of a value whether it can be used and, if not, what is wanted; what it means is for the groups.

use std::time::Duration;

use http::{HeaderName, HeaderValue};

use crate::config::Network;

/// Longest value that is read at all.
pub(super) const VALUE_MAX: usize = 8 * 1024;
/// How much of a value is shown in what is said of it.
const SHOWN: usize = 60;

/// What a value must look like.
#[derive(Debug, Clone, Copy)]
pub enum Form {
    /// Nobody reads it.
    Any,
    /// As Go's `strconv.ParseBool` reads it.
    Flag,
    /// A whole number from the first to the second.
    Number(u32, u32),
    /// Whole seconds of at least one, also with the unit (`30`, `30s`).
    Seconds,
    /// Bytes as nginx writes them (`512`, `8k`, `1m`, `1g`), up to a most.
    Bytes(u64),
    /// Addresses and ranges, divided by commas.
    Networks,
    /// A value as a header carries it, without variables.
    Header,
    /// The same, an absolute path.
    Path,
    /// Visible text.
    Text,
    /// A word of the characters that names of fields and cookies are made of (RFC 9110 §5.6.2).
    Token,
    /// An absolute URL of http or https, as a header carries it.
    Url,
    /// Header names or `*`, divided by commas.
    HeaderNames,
    /// One of these, whatever its case.
    Words(&'static [&'static str]),
    /// What can be used as this; the second says what is wanted.
    Fits(fn(&str) -> bool, &'static str),
    /// What can be read by this, which says itself what is wrong.
    Reads(fn(&str) -> Result<(), String>),
}

impl Form {
    /// Tries a trimmed value that is not empty.
    ///
    /// # Errors
    /// The value, and what is wanted in its place.
    pub fn check(self, value: &str) -> Result<(), String> {
        let shown: String = value.chars().take(SHOWN).collect();
        if value.len() > VALUE_MAX {
            return Err(format!("{shown:?}… is longer than the {VALUE_MAX} bytes that a value may have"));
        }
        if let Self::Reads(read) = self {
            // Errors of patterns draw where they are wrong; the last line says what.
            return read(value).map_err(|error| format!("{shown:?}: {}", error.lines().last().unwrap_or_default()));
        }
        if self.fits(value) { Ok(()) } else { Err(format!("{shown:?} is not {}", self.wanted())) }
    }

    fn fits(self, value: &str) -> bool {
        match self {
            Self::Any | Self::Reads(_) => true,
            Self::Flag => flag(value).is_some(),
            Self::Number(least, most) => number(value).is_some_and(|number| (least..=most).contains(&number)),
            Self::Seconds => seconds(value).is_some(),
            Self::Bytes(most) => bytes(value).is_some_and(|bytes| bytes <= most),
            Self::Networks => networks(value).is_some(),
            Self::Header => header(value).is_some(),
            Self::Path => value.starts_with('/') && header(value).is_some(),
            Self::Text => value.bytes().all(|byte| matches!(byte, b' '..=b'~')),
            Self::Token => value.bytes().all(is_token),
            Self::Url => url(value).is_some(),
            Self::HeaderNames => header_names(value).is_some(),
            Self::Words(words) => words.iter().any(|word| word.eq_ignore_ascii_case(value)),
            Self::Fits(fits, _) => fits(value),
        }
    }

    fn wanted(self) -> String {
        let text = match self {
            Self::Number(least, u32::MAX) => return format!("a whole number from {least} on"),
            Self::Number(least, most) => return format!("a whole number from {least} to {most}"),
            Self::Bytes(most) if most < u64::MAX => {
                return format!("a size such as 512, 8k or 1m, of at most {most} bytes");
            }
            Self::Words([word]) => return format!("{word}, which is all that is known here"),
            Self::Words(words) => return format!("one of {}", words.join(", ")),
            Self::Fits(_, wanted) => wanted,
            Self::Any | Self::Reads(_) => "usable",
            Self::Flag => "true or false",
            Self::Seconds => "a number of seconds, up to a year of them",
            Self::Bytes(_) => "a size such as 512, 8k, 1m or 1g",
            Self::Networks => "a list of addresses and ranges such as 10.0.0.0/8",
            Self::Header => "a header's value without variables",
            Self::Path => "an absolute path without variables",
            Self::Text => "visible text",
            Self::Token => "a name",
            Self::Url => "an http or https URL without variables",
            Self::HeaderNames => "a list of header names",
        };
        text.to_owned()
    }
}

pub(super) fn flag(value: &str) -> Option<bool> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

pub(super) fn number(value: &str) -> Option<u32> {
    value.parse().ok()
}

/// The most seconds that anything waits: who means for ever means no more than that.
const YEAR: u64 = 365 * 24 * 60 * 60;

pub(super) fn seconds(value: &str) -> Option<Duration> {
    let seconds = value.strip_suffix('s').unwrap_or(value).parse().ok();
    seconds.filter(|seconds| (1..=YEAR).contains(seconds)).map(Duration::from_secs)
}

pub(super) fn bytes(value: &str) -> Option<u64> {
    let (digits, shift) = match value.as_bytes().last()?.to_ascii_lowercase() {
        b'b' => (&value[..value.len() - 1], 0),
        b'k' => (&value[..value.len() - 1], 10),
        b'm' => (&value[..value.len() - 1], 20),
        b'g' => (&value[..value.len() - 1], 30),
        _ => (value, 0),
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

pub(super) fn networks(value: &str) -> Option<Box<[Network]>> {
    let read = |one: &str| match one.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V4(_)) => format!("{one}/32").parse().ok(),
        Ok(std::net::IpAddr::V6(_)) => format!("{one}/128").parse().ok(),
        Err(_) => one.parse().ok(),
    };
    value.split(',').map(str::trim).filter(|one| !one.is_empty()).map(read).collect()
}

pub(super) fn header(value: &str) -> Option<HeaderValue> {
    if value.contains('$') { None } else { HeaderValue::from_str(value).ok() }
}

pub(super) fn url(value: &str) -> Option<HeaderValue> {
    let uri: http::Uri = value.parse().ok()?;
    let scheme = matches!(uri.scheme_str(), Some("http" | "https"));
    (scheme && uri.authority().is_some()).then(|| header(value)).flatten()
}

pub(super) fn header_names(value: &str) -> Option<HeaderValue> {
    let sound = |one: &str| one == "*" || HeaderName::from_bytes(one.as_bytes()).is_ok();
    let all = value.split(',').map(str::trim).filter(|one| !one.is_empty());
    all.clone().all(sound).then(|| HeaderValue::from_str(&all.collect::<Vec<_>>().join(", ")).ok()).flatten()
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// What a parser says of a value, without what it makes of it.
pub(super) fn reads<T, E: std::fmt::Display>(read: Result<T, E>) -> Result<(), String> {
    read.map(drop).map_err(|error| error.to_string())
}
