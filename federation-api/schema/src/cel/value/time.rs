//! Points in time and spans as values: parsing and text as Go has them. No clock.

use std::fmt::Write as _;

const NANOS: i64 = 1_000_000_000;
const DAY: i64 = 86_400;
/// 0001-01-01T00:00:00Z.
const FIRST_SECOND: i64 = -62_135_596_800;
/// 9999-12-31T23:59:59Z.
const LAST_SECOND: i64 = 253_402_300_799;

/// A point in time, to the nanosecond, between the years 1 and 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    /// Since 1970, in UTC.
    pub seconds: i64,
    /// Below a billion.
    pub nanos: u32,
}

/// A point in time in the parts that people use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Civil {
    pub(crate) year: i64,
    /// From 1.
    pub(crate) month: i64,
    /// From 1.
    pub(crate) day: i64,
    /// From 0.
    pub(crate) day_of_year: i64,
    /// From Sunday, 0.
    pub(crate) weekday: i64,
    pub(crate) hour: i64,
    pub(crate) minute: i64,
    pub(crate) second: i64,
}

impl Timestamp {
    /// A point in time; none outside of the years 1 to 9999.
    pub fn new(seconds: i64, nanos: u32) -> Option<Timestamp> {
        (FIRST_SECOND..=LAST_SECOND).contains(&seconds).then_some(Timestamp { seconds, nanos })
    }

    pub(crate) fn is_go_zero(self) -> bool {
        self.seconds == FIRST_SECOND && self.nanos == 0
    }

    fn total(self) -> i128 {
        i128::from(self.seconds) * i128::from(NANOS) + i128::from(self.nanos)
    }

    /// Later by a span; none where that is out of range.
    pub(crate) fn plus(self, duration: i64) -> Option<Timestamp> {
        let total = self.total() + i128::from(duration);
        let seconds = i64::try_from(total.div_euclid(i128::from(NANOS))).ok()?;
        Timestamp::new(seconds, total.rem_euclid(i128::from(NANOS)) as u32)
    }

    /// The span since another point; none where no span is that long.
    pub(crate) fn since(self, other: Timestamp) -> Option<i64> {
        i64::try_from(self.total() - other.total()).ok()
    }

    /// The parts, some seconds east of UTC.
    pub(crate) fn civil(self, offset: i64) -> Civil {
        let local = self.seconds + offset;
        let (days, rest) = (local.div_euclid(DAY), local.rem_euclid(DAY));
        let (year, month, day) = from_days(days);
        Civil {
            year,
            month,
            day,
            day_of_year: days - to_days(year, 1, 1),
            weekday: (days + 4).rem_euclid(7),
            hour: rest / 3600,
            minute: rest / 60 % 60,
            second: rest % 60,
        }
    }
}

/// RFC 3339 in UTC with as many decimals as there are.
impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Civil { year, month, day, hour, minute, second, .. } = self.civil(0);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if self.nanos > 0 {
            let decimals = format!("{:09}", self.nanos);
            write!(f, ".{}", decimals.trim_end_matches('0'))?;
        }
        f.write_str("Z")
    }
}

/// Days since 1970 of a date.
pub(crate) fn to_days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// A point in time in RFC 3339.
pub fn parse_timestamp(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    if !text.is_ascii() || bytes.len() < 20 || bytes[4] != b'-' || bytes[7] != b'-' || bytes[13] != b':' {
        return None;
    }
    if bytes[10] != b'T' || bytes[16] != b':' {
        return None;
    }
    let number = |from: usize, to: usize| -> Option<i64> {
        let part = &text[from..to];
        part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok())?
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let days = to_days(year, month, day);
    if !(1..=12).contains(&month) || from_days(days) != (year, month, day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (nanos, zone) = match text[19..].strip_prefix('.') {
        Some(rest) => {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            if digits == 0 {
                return None;
            }
            let kept = format!("{:0<9}", &rest[..digits.min(9)]);
            (kept.parse().ok()?, &rest[digits..])
        }
        None => (0, &text[19..]),
    };
    let offset = match zone.as_bytes() {
        [b'Z'] => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] if [h1, h2, m1, m2].iter().all(|b| b.is_ascii_digit()) => {
            let two = |a: &u8, b: &u8| i64::from(a - b'0') * 10 + i64::from(b - b'0');
            let (hours, minutes) = (two(h1, h2), two(m1, m2));
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 3600 + minutes * 60) * if *sign == b'-' { -1 } else { 1 }
        }
        _ => return None,
    };
    Timestamp::new(days * DAY + hour * 3600 + minute * 60 + second - offset, nanos)
}

/// A date as the first moment of that day, `2021-01-02`.
pub(crate) fn parse_date(text: &str) -> Option<Timestamp> {
    (text.len() == 10).then(|| parse_timestamp(&format!("{text}T00:00:00Z")))?
}

/// A span as Go writes them, or else every number with a unit that stands in the text, as in `3 weeks`.
///
/// Source: `kube-openapi/pkg/validation/strfmt` (`ParseDuration`), which is how a value of that format is read.
pub fn parse_loose_duration(text: &str) -> Option<i64> {
    const UNITS: [(&[&str], i64); 8] = [
        (&["ns", "nano"], 1),
        (&["us", "µs", "micro"], 1_000),
        (&["ms", "milli"], 1_000_000),
        (&["s", "sec"], 1_000_000_000),
        (&["m", "min"], 60_000_000_000),
        (&["h", "hr", "hour"], 3_600_000_000_000),
        (&["d", "day"], 86_400_000_000_000),
        (&["w", "wk", "week"], 604_800_000_000_000),
    ];
    if let Some(nanos) = parse_duration(text) {
        return Some(nanos);
    }
    let (mut rest, mut total) = (text, None);
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let from = &rest[start..];
        let after = from.trim_start_matches(|c: char| c.is_ascii_digit());
        let digits = &from[..from.len() - after.len()];
        let spaced = after.trim_start_matches([' ', '\t', '\n', '\r', '\u{c}']);
        let tail = spaced.trim_start_matches(|c: char| c.is_ascii_alphabetic() || c == 'µ');
        let unit = spaced[..spaced.len() - tail.len()].to_lowercase();
        rest = tail;
        if unit.is_empty() {
            rest = after;
            continue;
        }
        let count: i64 = digits.parse().ok()?;
        for (names, nanos) in UNITS {
            let last = names[names.len() - 1];
            if names.contains(&&*unit) || unit.starts_with(last) {
                total = Some(total.unwrap_or(0_i64).wrapping_add(count.wrapping_mul(nanos)));
            }
        }
    }
    total
}

/// A span as Go writes them, `1h30m`, in nanoseconds.
pub fn parse_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0_i128;
    while !rest.is_empty() {
        let whole = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, tail) = rest.split_at(whole);
        let (fraction, tail) = match tail.strip_prefix('.') {
            Some(tail) => tail.split_at(tail.bytes().take_while(u8::is_ascii_digit).count()),
            None => ("", tail),
        };
        if digits.is_empty() && fraction.is_empty() || digits.len() > 19 {
            return None;
        }
        let unit_end = tail.bytes().take_while(|b| *b != b'.' && !b.is_ascii_digit()).count();
        let (unit, tail) = tail.split_at(unit_end);
        let scale: i128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let digits: i128 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
        total += digits * scale;
        let kept = &fraction[..fraction.len().min(18)];
        if !kept.is_empty() {
            total += kept.parse::<i128>().ok()? * scale / 10_i128.pow(kept.len() as u32);
        }
        if total > i128::from(i64::MAX) + 1 {
            return None;
        }
        rest = tail;
    }
    i64::try_from(if negative { -total } else { total }).ok()
}

/// A span in seconds, as CEL writes it: `90s`, `0.5s`.
pub fn duration_text(nanos: i64) -> String {
    let (seconds, rest) = (nanos.unsigned_abs() / NANOS as u64, nanos.unsigned_abs() % NANOS as u64);
    let mut out = String::new();
    let sign = if nanos < 0 { "-" } else { "" };
    write!(out, "{sign}{seconds}").expect("writing to a string does not fail");
    if rest > 0 {
        let decimals = format!("{rest:09}");
        write!(out, ".{}", decimals.trim_end_matches('0')).expect("writing to a string does not fail");
    }
    out.push('s');
    out
}
