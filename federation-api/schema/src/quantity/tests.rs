//! Upstream's quantity tables re-expressed.

use std::cmp::Ordering;

use serde_json::json;

use super::{Quantity, QuantityError, QuantityFormat, canonical};

fn parse(text: &str) -> Quantity {
    Quantity::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

#[test]
fn parses_to_canonical_text() {
    let table = [
        ("0", "0"),
        ("0n", "0"),
        ("0Ki", "0"),
        ("0.0", "0"),
        ("-0", "0"),
        ("00", "0"),
        ("1", "1"),
        ("007", "7"),
        ("1000m", "1"),
        ("1500m", "1500m"),
        ("100m", "100m"),
        ("0.1", "100m"),
        ("1.5", "1500m"),
        ("1Ki", "1Ki"),
        ("8Ki", "8Ki"),
        ("7Mi", "7Mi"),
        ("6Gi", "6Gi"),
        ("5Ti", "5Ti"),
        ("4Pi", "4Pi"),
        ("3Ei", "3Ei"),
        ("1024Ki", "1Mi"),
        ("0.5Mi", "512Ki"),
        ("0.5Gi", "512Mi"),
        ("1536Mi", "1536Mi"),
        ("0.5Ki", "512"),
        ("1023Ki", "1023Ki"),
        ("5n", "5n"),
        ("4u", "4u"),
        ("3m", "3m"),
        ("8k", "8k"),
        ("50k", "50k"),
        ("7M", "7M"),
        ("6G", "6G"),
        ("5T", "5T"),
        ("40T", "40T"),
        ("2P", "2P"),
        ("1E", "1E"),
        ("12E", "12E"),
        ("1000k", "1M"),
        ("1000E", "1000E"),
        ("1E-3", "1e-3"),
        ("1e3", "1e3"),
        ("1E6", "1e6"),
        ("1e14", "100e12"),
        ("1e13", "10e12"),
        ("1.2e3", "1200"),
        ("1.3E+6", "1300e3"),
        ("12e6", "12e6"),
        ("1e0", "1"),
        ("1000e0", "1e3"),
        ("100.035k", "100035"),
        ("0.0005k", "500m"),
        ("10.035M", "10035k"),
        ("6.987654321G", "6987654321"),
        ("3.001n", "4n"),
        ("0.0000000001", "1n"),
        ("0.9n", "1n"),
        ("0.00000012345", "124n"),
        ("1.1E-9", "2e-9"),
        ("9Ei", "9223372036854775807"),
        ("9223372036854775807Ki", "9223372036854775807"),
        ("100.035Ki", "102435840m"),
        ("0.05Gi", "53687091200m"),
        ("0.025Ti", "27487790694400m"),
        ("0.000000000001Ki", "2n"),
        (".001", "1m"),
        (".0001k", "100m"),
        ("1.", "1"),
        ("1.G", "1G"),
        ("+5", "5"),
        ("-5", "-5"),
        ("-1.5Gi", "-1536Mi"),
        ("-0.9n", "-1n"),
        ("1e-1000", "1e-9"),
        ("0e99999", "0"),
    ];
    for (text, expected) in table {
        let quantity = parse(text);
        // 2^63 − 1 is no multiple of 1024, so the binary format shows it plain.
        assert_eq!(quantity.to_string(), expected, "{text}");
        let again = parse(&quantity.to_string());
        assert_eq!(again, quantity, "{text} survives its canonical form");
    }
    assert_eq!(canonical("1000m"), Ok("1".to_owned()));
    assert_eq!(Quantity::from_value(&json!(5)).unwrap().to_string(), "5");
    assert_eq!(Quantity::from_value(&json!(0.5)).unwrap().to_string(), "500m");
    assert_eq!(Quantity::from_value(&json!(" 1Gi ")).unwrap().to_string(), "1Gi");
    assert_eq!(Quantity::from_value(&json!(true)), Err(QuantityError::Format));
}

#[test]
fn refuses_what_is_no_quantity() {
    let table = [
        ("", QuantityError::Format),
        (" 1", QuantityError::Format),
        ("1 ", QuantityError::Format),
        ("1.1.M", QuantityError::Format),
        ("1+1.0M", QuantityError::Format),
        ("0.1mi", QuantityError::Suffix),
        ("0.1am", QuantityError::Format),
        ("aoeu", QuantityError::Format),
        (".5i", QuantityError::Suffix),
        ("1i", QuantityError::Suffix),
        ("-3.01e-", QuantityError::Suffix),
        ("1e", QuantityError::Suffix),
        ("1KI", QuantityError::Format),
        ("1kk", QuantityError::Suffix),
        (".", QuantityError::Numeric),
        ("m", QuantityError::Numeric),
        ("-", QuantityError::Numeric),
        ("--1", QuantityError::Numeric),
        ("1e1000", QuantityError::Range),
        ("1e99999999999999999999", QuantityError::Suffix),
        ("999999999999999999999999999999999", QuantityError::Range),
        ("1\u{e9}", QuantityError::Format),
    ];
    for (text, error) in table {
        assert_eq!(Quantity::parse(text), Err(error), "{text}");
    }
    assert_eq!(Quantity::parse(&"9".repeat(5000)), Err(QuantityError::Format));
    assert_eq!(
        QuantityError::Format.to_string(),
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
    );
}

#[test]
fn compares_adds_and_rounds() {
    let compare = [
        ("0", "0", Ordering::Equal),
        ("100m", "50m", Ordering::Greater),
        ("50m", "100m", Ordering::Less),
        ("10000T", "100Gi", Ordering::Greater),
        ("1", "1000m", Ordering::Equal),
        ("1Ki", "1024", Ordering::Equal),
        ("-1", "1n", Ordering::Less),
        ("1e3", "1k", Ordering::Equal),
    ];
    for (a, b, expected) in compare {
        assert_eq!(parse(a).cmp(&parse(b)), expected, "{a} {b}");
        assert_eq!(parse(b).cmp(&parse(a)), expected.reverse(), "{b} {a}");
    }
    let sums = [
        ("0", "100m", "100m"),
        ("100m", "0", "100m"),
        ("0", "1Gi", "1Gi"),
        ("1Gi", "0", "1Gi"),
        ("500m", "500m", "1"),
        ("1Gi", "1024Mi", "2Gi"),
        ("1", "1Ki", "1025"),
        ("1Ki", "1", "1025"),
        ("1k", "-1k", "0"),
    ];
    for (a, b, expected) in sums {
        assert_eq!(parse(a).checked_add(parse(b)).unwrap().to_string(), expected, "{a}+{b}");
    }
    assert_eq!(parse("1").checked_sub(parse("100m")).unwrap().to_string(), "900m");
    assert_eq!(parse("0").checked_sub(parse("1Gi")).unwrap().to_string(), "-1Gi");
    assert_eq!(parse("250m").checked_mul(4).unwrap().to_string(), "1");
    assert_eq!(parse("1E").checked_mul(i64::MAX), None);
    let huge = parse("170000000000E");
    assert_eq!(huge.checked_add(huge), None);
    for (text, units, millis) in [("9.01", 10, 9010), ("-9.01", -10, -9010), ("1n", 1, 1), ("0", 0, 0), ("2", 2, 2000)]
    {
        assert_eq!((parse(text).units(), parse(text).millis()), (Some(units), Some(millis)), "{text}");
    }
    assert_eq!(parse("100E").units(), None);
    assert_eq!(Quantity::from_units(2048, QuantityFormat::BinarySi).to_string(), "2Ki");
    assert_eq!(Quantity::from_millis(1500, QuantityFormat::DecimalSi).to_string(), "1500m");
}
