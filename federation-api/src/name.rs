//! Names: generated ones, and which a kind allows.
//!
//! Source: k8s.io/apiserver `pkg/storage/names`, k8s.io/apimachinery `pkg/api/validation`.

use federation_schema::facts::Resource;
use rand::RngExt;

/// Longest base of a generated name.
const MAX_BASE_BYTES: usize = 58;
const SUFFIX_CHARS: usize = 5;
/// No vowels, so that no words come out.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Which strings a kind takes as names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameRule {
    /// RFC 1123 subdomain: the default.
    Subdomain,
    /// RFC 1123 label.
    Label,
    /// RFC 1035 label: begins with a letter.
    Service,
    /// Anything that fits into a path.
    PathSegment,
}

/// `base` and five random characters.
#[must_use]
pub fn generate(base: &str) -> String {
    let mut end = base.len().min(MAX_BASE_BYTES);
    while !base.is_char_boundary(end) {
        end -= 1;
    }
    let mut rng = rand::rng();
    let suffix = (0..SUFFIX_CHARS).map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())]));
    base[..end].chars().chain(suffix).collect()
}

/// The rule of a kind.
#[must_use]
pub fn rule(kind: &Resource) -> NameRule {
    match (&*kind.group, &*kind.plural) {
        ("", "namespaces") | ("fedgate.dev", "clusters") => NameRule::Label,
        ("", "services") => NameRule::Service,
        ("rbac.authorization.k8s.io", _) => NameRule::PathSegment,
        _ => NameRule::Subdomain,
    }
}

/// Why `name` is none that the kind takes; none where it is.
#[must_use]
pub fn complaint(kind: &Resource, name: &str) -> Option<String> {
    let (ok, text) = match rule(kind) {
        NameRule::Subdomain => (
            is_subdomain(name),
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
        ),
        NameRule::Label => (
            federation_types::name::is_label(name),
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
        ),
        NameRule::Service => (
            federation_types::name::is_label(name) && !name.starts_with(|c: char| c.is_ascii_digit()),
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
        ),
        NameRule::PathSegment => (
            !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '%']),
            "may not be '.' or '..' and may not contain '/' or '%'",
        ),
    };
    (!ok).then(|| text.to_owned())
}

/// Whether `name` is an RFC 1123 subdomain.
#[must_use]
pub fn is_subdomain(name: &str) -> bool {
    let label = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label)
}
