//! One annotation at a time: present or not, well formed or not.
//!
//! Knows the forms of values; what they mean is for the groups.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::Finding;
use super::table::{self, Verdict};
use crate::config::Network;

/// Longest value that is read at all.
const VALUE_MAX: usize = 8 * 1024;

/// Reads the annotations of one Ingress, and keeps what is wrong with them.
pub(super) struct Reader<'a> {
    values: &'a BTreeMap<String, String>,
    findings: Vec<Finding>,
    closed: Option<&'static str>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(values: &'a BTreeMap<String, String>) -> Self {
        let mut reader = Self { values, findings: Vec::new(), closed: None };
        for name in values.keys() {
            match table::row(name).map(|row| row.verdict) {
                None => reader.found(name, "is no annotation that is known here".to_owned()),
                Some(Verdict::Refused(why)) => reader.refuse(name, why),
                Some(Verdict::Works | Verdict::Differs(_) | Verdict::Ignored(_)) => {}
            }
        }
        reader
    }

    /// What is wrong, and why nothing may pass.
    pub(super) fn finish(self) -> (Vec<Finding>, Option<&'static str>) {
        (self.findings, self.closed)
    }

    /// Says that a value cannot be used.
    pub(super) fn wrong(&mut self, name: &str, wanted: &str) {
        let given = self.values.get(name).map_or("", String::as_str);
        let shown: String = given.chars().take(60).collect();
        self.found(name, format!("{shown:?} is not {wanted}"));
        if table::row(name).is_some_and(|row| row.guards) {
            self.close();
        }
    }

    /// Says that a value cannot be used, in the words of who tried.
    pub(super) fn wrong_for(&mut self, name: &str, error: &dyn std::fmt::Display) {
        // Errors of patterns draw where they are wrong; the last line says what.
        let text = error.to_string();
        let text = text.lines().last().unwrap_or_default();
        self.found(name, text.strip_prefix(&format!("{name}: ")).unwrap_or(text).to_owned());
    }

    /// Lets nobody pass, since what keeps somebody out cannot be read.
    pub(super) fn close(&mut self) {
        self.closed = Some("an annotation that guards this route cannot be read");
    }

    /// What `parse` makes of the value.
    pub(super) fn parsed_with<T, E: std::fmt::Display>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let parsed = parse(self.text(name)?);
        parsed.map_err(|error| self.wrong_for(name, &error)).ok()
    }

    fn refuse(&mut self, name: &str, why: &str) {
        self.found(name, format!("is not supported: {why}"));
        if table::row(name).is_some_and(|row| row.guards) {
            self.closed = Some("an annotation that guards this route is not supported");
        }
    }

    fn found(&mut self, name: &str, message: String) {
        self.findings.push(Finding { name: name.to_owned(), message });
    }

    /// The value, trimmed; none where it is absent, empty, or too long to be meant.
    pub(super) fn text(&mut self, name: &str) -> Option<&'a str> {
        debug_assert!(table::row(name).is_some(), "{name} is not in the table");
        let value = self.values.get(name)?.trim();
        if value.len() > VALUE_MAX {
            self.wrong(name, "short enough");
            return None;
        }
        (!value.is_empty()).then_some(value)
    }

    fn parsed<T>(&mut self, name: &str, wanted: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let value = self.text(name)?;
        let parsed = parse(value);
        if parsed.is_none() {
            self.wrong(name, wanted);
        }
        parsed
    }

    /// As Go's `strconv.ParseBool` reads it.
    pub(super) fn flag(&mut self, name: &str) -> Option<bool> {
        self.parsed(name, "true or false", |value| match value {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
            _ => None,
        })
    }

    /// A whole number from `least` on.
    pub(super) fn number(&mut self, name: &str, least: u32) -> Option<u32> {
        let wanted = format!("a whole number from {least} on");
        self.parsed(name, &wanted, |value| value.parse().ok().filter(|number| *number >= least))
    }

    /// Whole seconds, also with the unit (`30`, `30s`), of at least one.
    pub(super) fn seconds(&mut self, name: &str) -> Option<Duration> {
        self.parsed(name, "a number of seconds", |value| {
            let seconds = value.strip_suffix('s').unwrap_or(value).parse().ok();
            seconds.filter(|seconds| *seconds > 0).map(Duration::from_secs)
        })
    }

    /// Bytes as nginx writes them: `512`, `8k`, `1m`, `1g`.
    pub(super) fn bytes(&mut self, name: &str) -> Option<u64> {
        self.parsed(name, "a size such as 512, 8k, 1m or 1g", |value| {
            let (digits, shift) = match value.as_bytes().last()?.to_ascii_lowercase() {
                b'b' => (&value[..value.len() - 1], 0),
                b'k' => (&value[..value.len() - 1], 10),
                b'm' => (&value[..value.len() - 1], 20),
                b'g' => (&value[..value.len() - 1], 30),
                _ => (value, 0),
            };
            digits.parse::<u64>().ok()?.checked_mul(1 << shift)
        })
    }

    /// Addresses and ranges, divided by commas.
    pub(super) fn networks(&mut self, name: &str) -> Option<Box<[Network]>> {
        self.parsed(name, "a list of addresses and ranges such as 10.0.0.0/8", |value| {
            let read = |one: &str| match one.parse::<std::net::IpAddr>() {
                Ok(std::net::IpAddr::V4(_)) => format!("{one}/32").parse().ok(),
                Ok(std::net::IpAddr::V6(_)) => format!("{one}/128").parse().ok(),
                Err(_) => one.parse().ok(),
            };
            value.split(',').map(str::trim).filter(|one| !one.is_empty()).map(read).collect()
        })
    }

    /// A value as a header carries it, without variables.
    pub(super) fn header(&mut self, name: &str) -> Option<HeaderValue> {
        self.parsed(name, "a header's value without variables", plain)
    }

    /// A word of the characters that names of fields and cookies are made of (RFC 9110 §5.6.2).
    pub(super) fn token(&mut self, name: &str) -> Option<Box<str>> {
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        self.parsed(name, "a name", |value| value.bytes().all(is_token).then(|| value.into()))
    }

    /// An absolute URL of http or https, as a header carries it.
    pub(super) fn url(&mut self, name: &str) -> Option<HeaderValue> {
        self.parsed(name, "an http or https URL without variables", |value| {
            let uri: http::Uri = value.parse().ok()?;
            let scheme = matches!(uri.scheme_str(), Some("http" | "https"));
            (scheme && uri.authority().is_some()).then(|| plain(value)).flatten()
        })
    }

    /// One of a few words, whatever its case.
    pub(super) fn one_of<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Option<T> {
        let wanted = words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
        self.parsed(name, &format!("one of {wanted}"), |value| {
            words.iter().find(|(word, _)| word.eq_ignore_ascii_case(value)).map(|(_, meant)| *meant)
        })
    }

    /// Header names or `*`, divided by commas.
    pub(super) fn header_names(&mut self, name: &str) -> Option<HeaderValue> {
        self.parsed(name, "a list of header names", |value| {
            let sound = |one: &str| one == "*" || HeaderName::from_bytes(one.as_bytes()).is_ok();
            let all = value.split(',').map(str::trim).filter(|one| !one.is_empty());
            all.clone().all(sound).then(|| HeaderValue::from_str(&all.collect::<Vec<_>>().join(", ")).ok()).flatten()
        })
    }
}

fn plain(value: &str) -> Option<HeaderValue> {
    if value.contains('$') { None } else { HeaderValue::from_str(value).ok() }
}
