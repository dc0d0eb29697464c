//! Named formats: what a text may look like, and what is wrong with it if it does not.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::super::value::{EvalError, Value, parse_timestamp};
use super::{Row, text, url, wrong};
use crate::field::format as fields;

/// A format.
#[derive(Debug)]
pub struct NamedFormat {
    pub(crate) name: &'static str,
    check: fn(&str) -> Vec<String>,
    /// How long its pattern is taken to be, for costs.
    pub(crate) pattern_size: u64,
}

pub(super) const TABLE: &[Row] = &[
    ("format.named", named),
    ("validate", validate),
    ("format.dns1123Label", |_| constant("dns1123Label")),
    ("format.dns1123Subdomain", |_| constant("dns1123Subdomain")),
    ("format.dns1035Label", |_| constant("dns1035Label")),
    ("format.qualifiedName", |_| constant("qualifiedName")),
    ("format.dns1123LabelPrefix", |_| constant("dns1123LabelPrefix")),
    ("format.dns1123SubdomainPrefix", |_| constant("dns1123SubdomainPrefix")),
    ("format.dns1035LabelPrefix", |_| constant("dns1035LabelPrefix")),
    ("format.labelValue", |_| constant("labelValue")),
    ("format.uri", |_| constant("uri")),
    ("format.uuid", |_| constant("uuid")),
    ("format.byte", |_| constant("byte")),
    ("format.date", |_| constant("date")),
    ("format.datetime", |_| constant("datetime")),
];

type Out<'a> = Result<Value<'a>, EvalError>;

const UUID_PATTERN: u64 = 70;
const DATETIME_PATTERN: u64 = 71;

static FORMATS: &[(&str, NamedFormat)] = &[
    ("dns1123Label", NamedFormat { name: "DNS1123Label", check: fields::dns_label, pattern_size: 30 }),
    ("dns1123Subdomain", NamedFormat { name: "DNS1123Subdomain", check: fields::dns_subdomain, pattern_size: 60 }),
    ("dns1035Label", NamedFormat { name: "DNS1035Label", check: fields::dns_1035_label, pattern_size: 30 }),
    ("qualifiedName", NamedFormat { name: "QualifiedName", check: fields::label_key, pattern_size: 60 }),
    (
        "dns1123LabelPrefix",
        NamedFormat { name: "DNS1123LabelPrefix", check: |s| fields::dns_label(&masked(s)), pattern_size: 30 },
    ),
    (
        "dns1123SubdomainPrefix",
        NamedFormat { name: "DNS1123SubdomainPrefix", check: |s| fields::dns_subdomain(&masked(s)), pattern_size: 60 },
    ),
    (
        "dns1035LabelPrefix",
        NamedFormat { name: "DNS1035LabelPrefix", check: |s| fields::dns_1035_label(&masked(s)), pattern_size: 30 },
    ),
    ("labelValue", NamedFormat { name: "LabelValue", check: fields::label_value, pattern_size: 40 }),
    ("uri", NamedFormat { name: "URI", check: uri, pattern_size: 1103 }),
    ("uuid", NamedFormat { name: "uuid", check: uuid, pattern_size: UUID_PATTERN }),
    ("byte", NamedFormat { name: "byte", check: byte, pattern_size: 84 }),
    ("date", NamedFormat { name: "date", check: date, pattern_size: DATETIME_PATTERN }),
    ("datetime", NamedFormat { name: "datetime", check: datetime, pattern_size: DATETIME_PATTERN }),
];

fn find(name: &str) -> Option<&'static NamedFormat> {
    FORMATS.iter().find(|(own, _)| *own == name).map(|(_, format)| format)
}

/// A prefix of a name may end with a dash.
fn masked(prefix: &str) -> String {
    match prefix.strip_suffix('-') {
        Some(rest) if !rest.is_empty() => format!("{rest}a"),
        _ => prefix.to_owned(),
    }
}

fn unless(holds: bool, message: &str) -> Vec<String> {
    if holds { Vec::new() } else { vec![message.to_owned()] }
}

fn uri(text: &str) -> Vec<String> {
    url::parse(text, true).err().into_iter().collect()
}

fn uuid(text: &str) -> Vec<String> {
    // Each of the dashes may be left out.
    let mut rest = text;
    let mut fine = true;
    for (at, digits) in [8, 4, 4, 4, 12].into_iter().enumerate() {
        rest = if at > 0 { rest.strip_prefix('-').unwrap_or(rest) } else { rest };
        let part = rest.bytes().take(digits).take_while(u8::is_ascii_hexdigit).count();
        fine &= part == digits;
        rest = &rest[part..];
    }
    unless(fine && rest.is_empty(), "does not match the UUID format")
}

fn byte(text: &str) -> Vec<String> {
    unless(!text.is_empty() && STANDARD.decode(text).is_ok(), "invalid base64")
}

fn date(text: &str) -> Vec<String> {
    let fine = text.len() == 10 && parse_timestamp(&format!("{text}T00:00:00Z")).is_some();
    unless(fine, "invalid date")
}

fn datetime(text: &str) -> Vec<String> {
    unless(parse_timestamp(&text.to_ascii_uppercase()).is_some(), "invalid datetime")
}

fn constant<'a>(name: &str) -> Out<'a> {
    find(name).map(Value::Format).ok_or_else(EvalError::no_such_overload)
}

fn named<'a>(args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::String(name)] => {
            Ok(find(name).map_or(Value::Optional(None), |format| Value::some(Value::Format(format))))
        }
        _ => wrong(),
    }
}

fn validate<'a>(args: &[Value<'a>]) -> Out<'a> {
    let [Value::Format(format), Value::String(own)] = args else { return wrong() };
    let complaints = (format.check)(own);
    if complaints.is_empty() {
        return Ok(Value::Optional(None));
    }
    Ok(Value::some(Value::list(complaints.into_iter().map(text).collect())))
}
