//! RFC 3339 times as Kubernetes writes them: UTC, whole seconds or six decimals.
//!
//! It knows the calendar, no clock.

/// An instant: seconds since 1970 and nanoseconds within the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant {
    pub seconds: i64,
    pub nanos: u32,
}

/// `0001-01-01T00:00:00Z`, which Go takes for no time at all.
const GO_ZERO: i64 = -62_135_596_800;
/// `9999-12-31T23:59:59Z`: later times have no RFC 3339 form.
const LAST: i64 = 253_402_300_799;
/// `0000-01-01T00:00:00Z`.
const FIRST: i64 = -62_167_219_200;
const DAY: i64 = 86_400;

impl Instant {
    pub fn from_seconds(seconds: i64) -> Self {
        Self { seconds, nanos: 0 }
    }

    /// Reads what Go's `time.RFC3339` reads; none for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let number = |from: usize, to: usize| -> Option<i64> {
            let digits = bytes.get(from..to)?;
            digits.iter().all(u8::is_ascii_digit).then(|| digits.iter().fold(0, |n, d| n * 10 + i64::from(d - b'0')))
        };
        let is = |at: usize, byte: u8| bytes.get(at) == Some(&byte);
        if !(is(4, b'-') && is(7, b'-') && is(10, b'T') && is(13, b':') && is(16, b':')) {
            return None;
        }
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
        if !(1..=12).contains(&month)
            || day < 1
            || day > days_in(year, month)
            || hour > 23
            || minute > 59
            || second > 59
        {
            return None;
        }
        let rest = text.get(19..)?;
        let digits =
            rest.strip_prefix(['.', ',']).map_or(0, |rest| rest.bytes().take_while(u8::is_ascii_digit).count());
        if rest.starts_with(['.', ',']) && digits == 0 {
            return None;
        }
        let fraction = if digits == 0 { "" } else { &rest[1..=digits] };
        let nanos =
            fraction.bytes().chain(std::iter::repeat(b'0')).take(9).fold(0, |n, d| n * 10 + u32::from(d - b'0'));
        let zone = &rest[if digits == 0 { 0 } else { digits + 1 }..];
        let seconds = days_from_civil(year, month, day) * DAY + hour * 3600 + minute * 60 + second - offset(zone)?;
        Some(Self { seconds, nanos })
    }

    /// True for the time that Go's zero value prints, which means that there is none.
    pub fn is_go_zero(self) -> bool {
        self.seconds == GO_ZERO && self.nanos == 0
    }

    /// `2006-01-02T15:04:05Z`; none beyond the years 0 to 9999.
    pub fn to_seconds_text(self) -> Option<String> {
        if !(FIRST..=LAST).contains(&self.seconds) {
            return None;
        }
        let (days, rest) = (self.seconds.div_euclid(DAY), self.seconds.rem_euclid(DAY));
        let (year, month, day) = civil_from_days(days);
        let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
        Some(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"))
    }

    /// `2006-01-02T15:04:05.000000Z`; none beyond the years 0 to 9999.
    pub fn to_micros_text(self) -> Option<String> {
        let mut text = self.to_seconds_text()?;
        text.pop();
        Some(format!("{text}.{:06}Z", self.nanos / 1000))
    }
}

/// Seconds that a zone (`Z`, `+02:00`) is ahead of UTC.
fn offset(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let bytes = zone.as_bytes();
    let sign = match bytes.first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    if bytes.len() != 6 || bytes[3] != b':' || ![1, 2, 4, 5].iter().all(|&at| bytes[at].is_ascii_digit()) {
        return None;
    }
    let two = |at: usize| i64::from(bytes[at] - b'0') * 10 + i64::from(bytes[at + 1] - b'0');
    let (hours, minutes) = (two(1), two(4));
    (hours <= 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a date in the proleptic Gregorian calendar.
///
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::Instant;

    #[test]
    fn times_are_read_as_go_reads_them() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-11-23T02:06:16Z", 1_795_399_576),
            ("2000-02-29T23:59:59+02:00", 951_861_599),
            ("0001-01-01T00:00:00Z", -62_135_596_800),
            ("9999-12-31T23:59:59Z", 253_402_300_799),
            ("2024-01-01T00:00:00.123456789Z", 1_704_067_200),
        ] {
            assert_eq!(Instant::parse(text).map(|at| at.seconds), Some(seconds), "{text}");
        }
        for text in [
            "",
            "2026",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-01-01t00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00+0200",
            "2026-01-01T00:00:60Z",
            "äöüäöüäöüäöüä",
            "2026-01-01T00:00:00+é1:0",
        ] {
            assert_eq!(Instant::parse(text), None, "{text}");
        }
    }

    #[test]
    fn times_are_written_as_kubernetes_writes_them() {
        for text in ["1969-12-31T23:59:59Z", "2024-02-29T12:34:56Z", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59Z"] {
            assert_eq!(Instant::parse(text).and_then(Instant::to_seconds_text).as_deref(), Some(text));
        }
        let micros = Instant::parse("2024-02-29T12:34:56.1234567+00:30").and_then(Instant::to_micros_text);
        assert_eq!(micros.as_deref(), Some("2024-02-29T12:04:56.123456Z"));
        assert_eq!(Instant::from_seconds(i64::MAX).to_seconds_text(), None);
    }
}
