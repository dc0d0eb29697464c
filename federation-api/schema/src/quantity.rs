//! Resource quantities (`100m`, `1Gi`, `1e3`): exact parsing, comparison, addition and Kubernetes' canonical text.
//! It knows numbers, not resources.

use std::cmp::Ordering;
use std::fmt;

use serde_json::Value;

const NANO: i128 = 1_000_000_000;
const PATTERN: &str = "^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$";
/// More digits than fit any amount that is in range; longer texts are refused before any arithmetic.
const MAX_TEXT: usize = 128;

/// How a quantity is written; adding keeps the left side's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum QuantityFormat {
    /// `12e6`
    DecimalExponent,
    /// `12Mi`
    BinarySi,
    /// `12M`
    DecimalSi,
}

/// An exact amount in billionths, within ±1.7e29 units.
///
/// Source: `k8s.io/apimachinery/pkg/api/resource`. Finer fractions round away from zero, as upstream does.
#[derive(Debug, Clone, Copy)]
pub struct Quantity {
    nanos: i128,
    format: QuantityFormat,
}

/// Why a text is no quantity; texts are upstream's but for the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    #[error("quantities must match the regular expression '{PATTERN}'")]
    Format,
    #[error("unable to parse numeric part of quantity")]
    Numeric,
    #[error("unable to parse quantity's suffix")]
    Suffix,
    #[error("quantity is out of range: its magnitude must stay below 1.7e29")]
    Range,
}

struct Parts<'a> {
    negative: bool,
    /// Digits before the point, leading zeros removed.
    whole: &'a str,
    fraction: &'a str,
    suffix: &'a str,
}

impl Quantity {
    pub const ZERO: Quantity = Quantity { nanos: 0, format: QuantityFormat::DecimalSi };

    /// A whole number of units.
    pub fn from_units(units: i64, format: QuantityFormat) -> Self {
        Quantity { nanos: i128::from(units) * NANO, format }
    }

    /// A whole number of thousandths, e.g. CPU millicores.
    pub fn from_millis(millis: i64, format: QuantityFormat) -> Self {
        Quantity { nanos: i128::from(millis) * (NANO / 1000), format }
    }

    /// # Errors
    /// `QuantityError`, with upstream's text.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        if text.is_empty() || text.len() > MAX_TEXT {
            return Err(QuantityError::Format);
        }
        let parts = split(text)?;
        let (scale, format) = interpret(parts.suffix)?;
        let magnitude = match scale {
            Scale::Ten(exponent) => decimal(&parts, exponent)?,
            Scale::Two(exponent) => binary(&parts, exponent)?,
        };
        let mut format = format;
        if format == QuantityFormat::BinarySi && magnitude > 0 && magnitude < NANO {
            format = QuantityFormat::DecimalSi;
        }
        Ok(Quantity { nanos: if parts.negative { -magnitude } else { magnitude }, format })
    }

    /// A JSON string or number.
    ///
    /// # Errors
    /// As `parse`; any other type is `QuantityError::Format`.
    pub fn from_value(value: &Value) -> Result<Self, QuantityError> {
        match value {
            Value::String(text) => Quantity::parse(text.trim()),
            Value::Number(number) => Quantity::parse(&number.to_string()),
            _ => Err(QuantityError::Format),
        }
    }

    pub fn format(&self) -> QuantityFormat {
        self.format
    }

    pub fn is_zero(&self) -> bool {
        self.nanos == 0
    }

    pub fn is_negative(&self) -> bool {
        self.nanos < 0
    }

    /// Billionths of a unit.
    pub fn nanos(&self) -> i128 {
        self.nanos
    }

    /// Whole units, rounded away from zero; `None` if it does not fit.
    pub fn units(&self) -> Option<i64> {
        i64::try_from(div_away(self.nanos, NANO)).ok()
    }

    /// Thousandths, rounded away from zero; `None` if it does not fit.
    pub fn millis(&self) -> Option<i64> {
        i64::try_from(div_away(self.nanos, NANO / 1000)).ok()
    }

    /// The sum, or `None` out of range. A zero takes over the other's format.
    #[must_use]
    pub fn checked_add(self, other: Quantity) -> Option<Quantity> {
        let format = if self.is_zero() { other.format } else { self.format };
        Some(Quantity { nanos: self.nanos.checked_add(other.nanos)?, format })
    }

    /// The difference, or `None` out of range. A zero takes over the other's format.
    #[must_use]
    pub fn checked_sub(self, other: Quantity) -> Option<Quantity> {
        let format = if self.is_zero() { other.format } else { self.format };
        Some(Quantity { nanos: self.nanos.checked_sub(other.nanos)?, format })
    }

    /// The product, or `None` out of range.
    #[must_use]
    pub fn checked_mul(self, factor: i64) -> Option<Quantity> {
        Some(Quantity { nanos: self.nanos.checked_mul(i128::from(factor))?, format: self.format })
    }
}

/// Compares amounts; the format does not count.
impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl std::str::FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Quantity::parse(text)
    }
}

/// The canonical form: no fraction, the largest fitting suffix, exponents in steps of three.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return f.write_str("0");
        }
        let units = self.nanos / NANO;
        let whole = self.nanos % NANO == 0;
        if self.format == QuantityFormat::BinarySi && whole && units.abs() >= 1024 {
            let (mut mantissa, mut step) = (units, 0);
            while mantissa % 1024 == 0 && step < 6 {
                mantissa /= 1024;
                step += 1;
            }
            return write!(f, "{mantissa}{}", ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"][step]);
        }
        let (mut mantissa, mut exponent) = (self.nanos, -9);
        let largest = if self.format == QuantityFormat::DecimalExponent { i32::MAX } else { 18 };
        while mantissa % 1000 == 0 && exponent < largest {
            mantissa /= 1000;
            exponent += 3;
        }
        match self.format {
            QuantityFormat::DecimalExponent if exponent == 0 => write!(f, "{mantissa}"),
            QuantityFormat::DecimalExponent => write!(f, "{mantissa}e{exponent}"),
            _ => {
                let names = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
                let index = usize::try_from((exponent + 9) / 3).expect("the exponent starts at -9 and only grows");
                write!(f, "{mantissa}{}", names[index])
            }
        }
    }
}

/// The text that a Kubernetes server stores for a quantity that a user wrote: `1000m` becomes `1`.
///
/// # Errors
/// As `Quantity::parse`.
pub fn canonical(text: &str) -> Result<String, QuantityError> {
    Quantity::parse(text).map(|quantity| quantity.to_string())
}

enum Scale {
    Ten(i32),
    Two(u32),
}

fn split(text: &str) -> Result<Parts<'_>, QuantityError> {
    let (negative, rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let digits = |s: &str| s.bytes().take_while(u8::is_ascii_digit).count();
    let (whole, rest) = rest.split_at(digits(rest));
    let (fraction, suffix) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(digits(rest)),
        None => ("", rest),
    };
    let letters = suffix.bytes().take_while(|b| b"eEinumkKMGTP".contains(b)).count();
    let tail = &suffix[letters..];
    let tail = tail.strip_prefix(['-', '+']).unwrap_or(tail);
    if !tail.bytes().all(|b| b.is_ascii_digit()) {
        return Err(QuantityError::Format);
    }
    if whole.is_empty() && fraction.is_empty() {
        return Err(QuantityError::Numeric);
    }
    Ok(Parts { negative, whole: whole.trim_start_matches('0'), fraction, suffix })
}

fn interpret(suffix: &str) -> Result<(Scale, QuantityFormat), QuantityError> {
    let ten = |exponent| Ok((Scale::Ten(exponent), QuantityFormat::DecimalSi));
    let two = |exponent| Ok((Scale::Two(exponent), QuantityFormat::BinarySi));
    match suffix {
        "" => ten(0),
        "n" => ten(-9),
        "u" => ten(-6),
        "m" => ten(-3),
        "k" => ten(3),
        "M" => ten(6),
        "G" => ten(9),
        "T" => ten(12),
        "P" => ten(15),
        "E" => ten(18),
        "Ki" => two(10),
        "Mi" => two(20),
        "Gi" => two(30),
        "Ti" => two(40),
        "Pi" => two(50),
        "Ei" => two(60),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E']).filter(|e| !e.is_empty()).ok_or(QuantityError::Suffix)?;
            let exponent: i64 = exponent.parse().map_err(|_| QuantityError::Suffix)?;
            // Beyond ±1000 every amount is out of range or below a billionth.
            let exponent = exponent.clamp(-1000, 1000) as i32;
            Ok((Scale::Ten(exponent), QuantityFormat::DecimalExponent))
        }
    }
}

/// Digits times ten to the exponent, in billionths, rounded up.
fn decimal(parts: &Parts<'_>, exponent: i32) -> Result<i128, QuantityError> {
    let fraction = parts.fraction.trim_end_matches('0');
    let all = parts.whole.bytes().chain(fraction.bytes());
    let point = i32::try_from(fraction.len()).map_err(|_| QuantityError::Format)?;
    let shift = exponent + 9 - point;
    let total = i32::try_from(parts.whole.len() + fraction.len()).map_err(|_| QuantityError::Format)?;
    let kept = (total + shift.min(0)).max(0);
    let (mut value, mut rest) = (0_i128, false);
    for (i, digit) in (0_i32..).zip(all) {
        if i < kept {
            value = push_digit(value, digit)?;
        } else {
            rest |= digit != b'0';
        }
    }
    if value != 0 {
        for _ in 0..shift {
            value = push_digit(value, b'0')?;
        }
    }
    Ok(if rest { value + 1 } else { value })
}

/// Digits times two to the exponent, in billionths, rounded up and capped at the largest i64, as upstream does.
fn binary(parts: &Parts<'_>, exponent: u32) -> Result<i128, QuantityError> {
    const MOST: i128 = i64::MAX as i128;
    let mut whole = 0_i128;
    for digit in parts.whole.bytes() {
        whole = push_digit(whole, digit)?;
        if whole > MOST {
            return Ok(MOST * NANO);
        }
    }
    // At most 2^63 × 2^60: far inside an i128.
    let units = whole << exponent;
    if units >= MOST {
        return Ok(MOST * NANO);
    }
    let fraction = parts.fraction.trim_end_matches('0');
    Ok((units * NANO + fraction_nanos(fraction, exponent)).min(MOST * NANO))
}

/// `0.<digits>` × 2^exponent in billionths, rounded up.
///
/// Horner's rule from the last digit, carrying nine guard digits: 2^60 × 10^18 × 10 stays below 2^127.
fn fraction_nanos(digits: &str, exponent: u32) -> i128 {
    let unit = (1_i128 << exponent) * NANO * NANO;
    let (mut guarded, mut lost) = (0_i128, false);
    for digit in digits.bytes().rev() {
        let numerator = guarded + i128::from(digit - b'0') * unit;
        lost |= numerator % 10 != 0;
        guarded = numerator / 10;
    }
    let exact = guarded % NANO == 0 && !lost;
    if exact { guarded / NANO } else { guarded / NANO + 1 }
}

fn push_digit(value: i128, digit: u8) -> Result<i128, QuantityError> {
    value.checked_mul(10).and_then(|v| v.checked_add(i128::from(digit - b'0'))).ok_or(QuantityError::Range)
}

fn div_away(value: i128, divisor: i128) -> i128 {
    let quotient = value / divisor;
    if value % divisor == 0 { quotient } else { quotient + value.signum() }
}

#[cfg(test)]
mod tests;
