//! The string formats that schemas may ask for, each judged as kube-openapi judges it.
//!
//! Names are compared without dashes, so that `date-time` is `datetime`. Source: `kube-openapi/pkg/validation/strfmt`.

use std::sync::LazyLock;

use super::net;
use crate::cel::parse_loose_duration;
use crate::field::format::{is_dns_label, is_dns_subdomain};
use crate::pattern::{self, Regex};

type Judge = fn(&str) -> bool;

/// Every format that kube-apiserver knows, by its name without dashes.
const FORMATS: &[(&str, Judge)] = &[
    ("bsonobjectid", |text| text.len() == 24 && text.bytes().all(|b| b.is_ascii_hexdigit())),
    ("byte", is_base64),
    ("cidr", net::is_cidr),
    ("creditcard", is_credit_card),
    ("date", is_date),
    ("datetime", is_date_time),
    ("duration", |text| parse_loose_duration(text).is_some()),
    ("email", net::is_email),
    ("hexcolor", |text| matches_cached(&HEX_COLOR, text)),
    ("hostname", is_hostname),
    ("ipv4", |text| net::is_ip(text, true) && text.contains('.')),
    ("ipv6", |text| net::is_ip(text, false) && text.contains(':')),
    ("isbn", |text| is_isbn10(text) || is_isbn13(text)),
    ("isbn10", is_isbn10),
    ("isbn13", is_isbn13),
    ("k8slongname", |text| text.len() <= 253 && is_dns_subdomain(text)),
    ("k8sshortname", |text| text.len() <= 63 && is_dns_label(text)),
    ("mac", net::is_mac),
    ("password", |_| true),
    ("rgbcolor", |text| matches_cached(&RGB_COLOR, text)),
    ("ssn", |text| text.len() == 11 && matches_cached(&SSN, text)),
    ("uri", net::is_request_uri),
    ("uuid", |text| is_uuid(text, None)),
    ("uuid3", |text| is_uuid(text, Some('3'))),
    ("uuid4", |text| is_uuid(text, Some('4'))),
    ("uuid5", |text| is_uuid(text, Some('5'))),
];

static HEX_COLOR: LazyLock<Regex> = LazyLock::new(|| fixed("^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$"));
static RGB_COLOR: LazyLock<Regex> = LazyLock::new(|| {
    let part = r"\s*(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*";
    fixed(&format!(r"^rgb\({part},{part},{part}\)$"))
});
static SSN: LazyLock<Regex> = LazyLock::new(|| fixed(r"^\d{3}[- ]?\d{2}[- ]?\d{4}$"));
/// Labels are counted elsewhere: counting in the expression would make it hundreds of times as large.
static HOSTNAME: LazyLock<Regex> = LazyLock::new(|| {
    let c = r"a-zA-Z0-9\p{S}\p{L}";
    fixed(&format!(r"^([{c}](-?[{c}]*)?|([{c}]([-{c}]*[{c}])?\.)+[a-zA-Z\p{L}][a-zA-Z\p{L}]+)$", L = "{L}"))
});
static CREDIT_CARD: LazyLock<Regex> = LazyLock::new(|| {
    fixed(concat!(
        "^(?:4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|6(?:011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}",
        r"|3(?:0[0-5]|[68][0-9])[0-9]{11}|(?:2131|1800|35\d{3})\d{11})$"
    ))
});
static TIME: LazyLock<Regex> =
    LazyLock::new(|| fixed(r"^([0-9]{2}):([0-9]{2}):([0-9]{2})(.[0-9]+)?(z|([+-][0-9]{2}:[0-9]{2}))$"));

fn fixed(text: &str) -> Regex {
    pattern::compile(text).expect("the expression is a constant")
}

fn matches_cached(regex: &LazyLock<Regex>, text: &str) -> bool {
    regex.is_match(text)
}

fn find(name: &str) -> Option<Judge> {
    let plain = name.replace('-', "");
    FORMATS.binary_search_by(|(known, _)| (*known).cmp(&*plain)).ok().map(|at| FORMATS[at].1)
}

/// Whether there is such a format.
pub fn is_known(name: &str) -> bool {
    find(name).is_some()
}

/// Whether the text has the format; unknown formats hold anything.
pub fn holds(name: &str, text: &str) -> bool {
    find(name).is_none_or(|judge| judge(text))
}

fn is_base64(text: &str) -> bool {
    let digits = text.trim_end_matches('=');
    let padding = text.len() - digits.len();
    let known = |b: u8| b.is_ascii_alphanumeric() || b == b'+' || b == b'/';
    !digits.is_empty() && padding <= 2 && text.len().is_multiple_of(4) && digits.bytes().all(known)
}

fn is_credit_card(text: &str) -> bool {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    if !CREDIT_CARD.is_match(&digits) {
        return false;
    }
    let doubled = |digit: u32| if digit < 5 { digit * 2 } else { digit * 2 - 9 };
    let values = digits.bytes().rev().map(|b| u32::from(b - b'0')).enumerate();
    let sum: u32 = values.map(|(at, digit)| if at % 2 == 1 { doubled(digit) } else { digit }).sum();
    sum.is_multiple_of(10)
}

fn isbn_digits(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{c}' | '-')).collect()
}

fn is_isbn10(text: &str) -> bool {
    let digits = isbn_digits(text);
    let last = digits.ends_with('X');
    let body = digits.strip_suffix('X').unwrap_or(&digits);
    if digits.len() != 10 || !body.bytes().all(|b| b.is_ascii_digit()) {
        return false;
    }
    let sum: u32 = body.bytes().zip(1..).map(|(b, at)| u32::from(b - b'0') * at).sum();
    (sum + if last { 100 } else { 0 }).is_multiple_of(11)
}

fn is_isbn13(text: &str) -> bool {
    let digits = isbn_digits(text);
    if digits.len() != 13 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return false;
    }
    let sum: u32 =
        digits.bytes().enumerate().map(|(at, b)| u32::from(b - b'0') * if at % 2 == 0 { 1 } else { 3 }).sum();
    sum.is_multiple_of(10)
}

/// Groups of 8-4-4-4-12 with each dash optional; `version` stands at its place, with the variant that 4 and 5 ask for.
fn is_uuid(text: &str, version: Option<char>) -> bool {
    let mut rest = text;
    for (at, length) in [8usize, 4, 4, 4, 12].into_iter().enumerate() {
        let Some(group) = rest.get(..length).filter(|group| group.bytes().all(|b| b.is_ascii_hexdigit())) else {
            return false;
        };
        let strict = matches!(version, Some('4' | '5'));
        if at == 2 && version.is_some_and(|version| !group.starts_with(version))
            || at == 3 && strict && !group.starts_with(['8', '9', 'a', 'b', 'A', 'B'])
        {
            return false;
        }
        rest = &rest[length..];
        if at < 4 {
            rest = rest.strip_prefix('-').unwrap_or(rest);
        }
    }
    rest.is_empty()
}

fn is_hostname(text: &str) -> bool {
    text.len() <= 255 && text.split('.').all(|label| label.len() <= 63) && HOSTNAME.is_match(text)
}

fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    let shape = bytes.len() == 10
        && bytes.iter().enumerate().all(|(at, b)| match at {
            4 | 7 => *b == b'-',
            _ => b.is_ascii_digit(),
        });
    if !shape {
        return false;
    }
    let number = |range: std::ops::Range<usize>| text[range].parse::<u32>().unwrap_or(0);
    let (year, month, day) = (number(0..4), number(5..7), number(8..10));
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 0,
    };
    (1..=days).contains(&day)
}

fn is_date_time(text: &str) -> bool {
    if text.len() < 4 {
        return false;
    }
    let lower = text.to_lowercase();
    let mut parts = lower.split('t');
    let (Some(date), Some(time)) = (parts.next(), parts.next()) else { return false };
    let Some(found) = TIME.captures(time) else { return false };
    is_date(date) && &found[1] <= "23" && &found[2] <= "59" && &found[3] <= "59"
}
