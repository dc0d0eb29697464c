//! Names in certificates as text: RFC 2253 in the way of OpenSSL, which is how nginx tells endpoints of them.
//!
//! Pure. What a certificate holds is hostile: every byte that means something in such a text is escaped.

use std::fmt::Write as _;

use x509_parser::asn1_rs::{Any, Tag, ToDer};
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// Bytes of a name's text.
const TEXT_MAX: usize = 4096;

/// OpenSSL's short names.
const SHORT: [(&str, &str); 24] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.4", "SN"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "street"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.12", "title"),
    ("2.5.4.13", "description"),
    ("2.5.4.15", "businessCategory"),
    ("2.5.4.17", "postalCode"),
    ("2.5.4.20", "telephoneNumber"),
    ("2.5.4.41", "name"),
    ("2.5.4.42", "GN"),
    ("2.5.4.43", "initials"),
    ("2.5.4.44", "generationQualifier"),
    ("2.5.4.46", "dnQualifier"),
    ("2.5.4.65", "pseudonym"),
    ("2.5.4.97", "organizationIdentifier"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
];

/// The text of a name, the last element first; none where it is too long to be told.
pub(super) fn text(name: &X509Name<'_>) -> Option<String> {
    let elements: Vec<_> = name.iter_rdn().collect();
    let mut all = String::new();
    for (number, element) in elements.iter().rev().enumerate() {
        if number > 0 {
            all.push(',');
        }
        for (position, attribute) in element.iter().enumerate() {
            if position > 0 {
                all.push('+');
            }
            push(&mut all, attribute)?;
        }
        if all.len() > TEXT_MAX {
            return None;
        }
    }
    Some(all)
}

/// Every CN of a name, as it is.
pub(super) fn common_names(name: &X509Name<'_>) -> Vec<String> {
    name.iter_common_name().filter_map(|attribute| decoded(attribute.attr_value())).collect()
}

fn push(all: &mut String, attribute: &AttributeTypeAndValue<'_>) -> Option<()> {
    let oid = attribute.attr_type().to_id_string();
    let value = attribute.attr_value();
    let short = SHORT.iter().find(|(known, _)| *known == oid).map(|(_, short)| *short);
    write!(all, "{}=", short.unwrap_or(&oid)).ok()?;
    match decoded(value).filter(|_| short.is_some()) {
        Some(text) => escape(all, &text),
        None => {
            all.push('#');
            for byte in value.to_der_vec().ok()? {
                write!(all, "{byte:02X}").ok()?;
            }
            Some(())
        }
    }
}

fn decoded(value: &Any<'_>) -> Option<String> {
    match value.tag() {
        Tag::Utf8String | Tag::PrintableString | Tag::NumericString | Tag::Ia5String | Tag::VisibleString => {
            std::str::from_utf8(value.data).ok().map(str::to_owned)
        }
        Tag::T61String => Some(value.data.iter().map(|byte| char::from(*byte)).collect()),
        Tag::BmpString => {
            let units = value.data.chunks(2).map(|pair| match pair {
                [high, low] => Some(u16::from_be_bytes([*high, *low])),
                _ => None,
            });
            String::from_utf16(&units.collect::<Option<Vec<u16>>>()?).ok()
        }
        _ => None,
    }
}

fn escape(all: &mut String, text: &str) -> Option<()> {
    let last = text.len().saturating_sub(1);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' => {
                all.push('\\');
                all.push(char::from(byte));
            }
            b'#' if at == 0 => all.push_str("\\#"),
            b' ' if at == 0 || at == last => all.push_str("\\ "),
            0..=0x1f | 0x7f..=0xff => write!(all, "\\{byte:02X}").ok()?,
            byte => all.push(char::from(byte)),
        }
    }
    Some(())
}
