//! The string formats that Kubernetes asks for everywhere: DNS names, label keys and values, data keys, ports.
//! Each check returns every complaint in upstream's words; an empty list means the value is fine.

const LABEL_KEY_FORMAT: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const LABEL_KEY_MESSAGE: &str =
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
const LABEL_VALUE_MESSAGE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
const DNS_LABEL_FORMAT: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const DNS_LABEL_MESSAGE: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character";
const DNS_SUBDOMAIN_FORMAT: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const DNS_SUBDOMAIN_MESSAGE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
const WILDCARD_MESSAGE: &str = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character";
const DNS_1035_FORMAT: &str = "[a-z]([-a-z0-9]*[a-z0-9])?";
const DNS_1035_MESSAGE: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character";
const CONFIG_KEY_FORMAT: &str = "[-._a-zA-Z0-9]+";
const CONFIG_KEY_MESSAGE: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";
const ENV_NAME_MESSAGE: &str =
    "a valid environment variable name must consist only of printable ASCII characters other than '='";
const PERCENT_FORMAT: &str = "[0-9]+%";
const PERCENT_MESSAGE: &str = "a valid percent string must be a numeric string followed by an ending '%'";

/// Bytes in a label value or in the name part of a label key.
pub const LABEL_MAX: usize = 63;
/// Bytes in a DNS label.
pub const DNS_LABEL_MAX: usize = 63;
/// Bytes in a DNS subdomain.
pub const DNS_SUBDOMAIN_MAX: usize = 253;

/// `example.com/name` or `name`: keys of labels and annotations, finalizers, taints.
pub fn label_key(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    let name = match value.split_once('/') {
        None => value,
        Some((_, rest)) if rest.contains('/') => {
            let text = with_examples(LABEL_KEY_MESSAGE, LABEL_KEY_FORMAT, &["MyName", "my.name", "123-abc"]);
            return vec![format!(
                "a valid label key {text} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
        Some((prefix, name)) => {
            if prefix.is_empty() {
                errors.push("prefix part must be non-empty".to_owned());
            } else {
                errors.extend(subdomain(prefix, "bytes").into_iter().map(|e| format!("prefix part {e}")));
            }
            name
        }
    };
    if name.is_empty() {
        errors.push("name part must be non-empty".to_owned());
    } else if name.len() > LABEL_MAX {
        errors.push(format!("name part {}", max_length(LABEL_MAX, "bytes")));
    }
    if !is_label_name(name) {
        let text = with_examples(LABEL_KEY_MESSAGE, LABEL_KEY_FORMAT, &["MyName", "my.name", "123-abc"]);
        errors.push(format!("name part {text}"));
    }
    errors
}

/// The value of a label.
pub fn label_value(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if value.len() > LABEL_MAX {
        errors.push(max_length(LABEL_MAX, "bytes"));
    }
    if !value.is_empty() && !is_label_name(value) {
        let format = format!("({LABEL_KEY_FORMAT})?");
        errors.push(with_examples(LABEL_VALUE_MESSAGE, &format, &["MyValue", "my_value", "12345"]));
    }
    errors
}

/// An RFC 1123 label, e.g. the name of a namespace.
pub fn dns_label(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if value.len() > DNS_LABEL_MAX {
        errors.push(max_length(DNS_LABEL_MAX, "characters"));
    }
    if !is_dns_label(value) {
        if is_dns_subdomain(value) {
            errors.push("must not contain dots".to_owned());
        } else {
            errors.push(with_examples(DNS_LABEL_MESSAGE, DNS_LABEL_FORMAT, &["my-name", "123-abc"]));
        }
    }
    errors
}

/// An RFC 1123 subdomain, e.g. the name of most objects.
pub fn dns_subdomain(value: &str) -> Vec<String> {
    subdomain(value, "characters")
}

/// A DNS subdomain under `*.`.
pub fn wildcard_dns_subdomain(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if value.len() > DNS_SUBDOMAIN_MAX {
        errors.push(max_length(DNS_SUBDOMAIN_MAX, "characters"));
    }
    if !value.strip_prefix("*.").is_some_and(is_dns_subdomain) {
        let format = format!("\\*\\.{DNS_SUBDOMAIN_FORMAT}");
        errors.push(with_examples(WILDCARD_MESSAGE, &format, &["*.example.com"]));
    }
    errors
}

/// A DNS-1035 label: starts with a letter.
pub fn dns_1035_label(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if value.len() > DNS_LABEL_MAX {
        errors.push(max_length(DNS_LABEL_MAX, "characters"));
    }
    if !is_dns_label(value) || !value.starts_with(|c: char| c.is_ascii_lowercase()) {
        errors.push(with_examples(DNS_1035_MESSAGE, DNS_1035_FORMAT, &["my-name", "abc-123"]));
    }
    errors
}

/// A key of a ConfigMap or Secret.
pub fn config_key(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if value.len() > DNS_SUBDOMAIN_MAX {
        errors.push(max_length(DNS_SUBDOMAIN_MAX, "characters"));
    }
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    if value.is_empty() || !value.bytes().all(allowed) {
        errors.push(with_examples(CONFIG_KEY_MESSAGE, CONFIG_KEY_FORMAT, &["key.name", "KEY_NAME", "key-name"]));
    }
    match value {
        "." => errors.push("must not be '.'".to_owned()),
        ".." => errors.push("must not be '..'".to_owned()),
        _ if value.starts_with("..") => errors.push("must not start with '..'".to_owned()),
        _ => {}
    }
    errors
}

/// The name of a port of a container or Service.
pub fn port_name(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if value.len() > 15 {
        errors.push(max_length(15, "characters"));
    }
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if value.is_empty() || !value.bytes().all(allowed) {
        errors.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned());
    }
    if !value.bytes().any(|b| b.is_ascii_lowercase()) {
        errors.push("must contain at least one letter (a-z)".to_owned());
    }
    if value.contains("--") {
        errors.push("must not contain consecutive hyphens".to_owned());
    }
    if value.starts_with('-') || value.ends_with('-') {
        errors.push("must not begin or end with a hyphen".to_owned());
    }
    errors
}

/// The number of a port.
pub fn port_number(value: i64) -> Vec<String> {
    if (1..=65535).contains(&value) { Vec::new() } else { vec!["must be between 1 and 65535, inclusive".to_owned()] }
}

/// The name of an environment variable.
pub fn env_name(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if value.is_empty() {
        errors.push("environment variable name must be non-empty".to_owned());
    }
    if !value.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b'=') {
        errors.push(ENV_NAME_MESSAGE.to_owned());
    }
    errors
}

/// `25%`.
pub fn percent(value: &str) -> Vec<String> {
    let digits = value.strip_suffix('%');
    if digits.is_some_and(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit())) {
        return Vec::new();
    }
    vec![with_examples(PERCENT_MESSAGE, PERCENT_FORMAT, &["1%", "93%"])]
}

/// A path segment: what any object name must at least be.
pub fn path_segment(value: &str) -> Vec<String> {
    if value == "." || value == ".." {
        return vec![format!("may not be '{value}'")];
    }
    let mut errors = Vec::new();
    for bad in ["/", "%"] {
        if value.contains(bad) {
            errors.push(format!("may not contain '{bad}'"));
        }
    }
    errors
}

/// Whether the value is an RFC 1123 label, whatever its length.
pub fn is_dns_label(value: &str) -> bool {
    let bytes = value.as_bytes();
    let edge = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    match bytes {
        [] => false,
        [one] => edge(*one),
        [first, middle @ .., last] => edge(*first) && edge(*last) && middle.iter().all(|&b| edge(b) || b == b'-'),
    }
}

/// Whether the value is an RFC 1123 subdomain, whatever its length.
pub fn is_dns_subdomain(value: &str) -> bool {
    value.split('.').all(is_dns_label)
}

fn subdomain(value: &str, unit: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if value.len() > DNS_SUBDOMAIN_MAX {
        errors.push(max_length(DNS_SUBDOMAIN_MAX, unit));
    }
    if !is_dns_subdomain(value) {
        errors.push(with_examples(DNS_SUBDOMAIN_MESSAGE, DNS_SUBDOMAIN_FORMAT, &["example.com"]));
    }
    errors
}

fn is_label_name(value: &str) -> bool {
    let edge = |b: u8| b.is_ascii_alphanumeric();
    match value.as_bytes() {
        [] => false,
        [one] => edge(*one),
        [first, middle @ .., last] => {
            edge(*first) && edge(*last) && middle.iter().all(|&b| edge(b) || matches!(b, b'-' | b'_' | b'.'))
        }
    }
}

fn max_length(max: usize, unit: &str) -> String {
    format!("must be no more than {max} {unit}")
}

fn with_examples(message: &str, format: &str, examples: &[&str]) -> String {
    let list: Vec<String> = examples.iter().map(|e| format!("'{e}', ")).collect();
    format!("{message} (e.g. {}regex used for validation is '{format}')", list.join(" or "))
}

#[cfg(test)]
mod tests;
