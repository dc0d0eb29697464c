//! Services that are a name outside: which names may be routed to, if any.
//!
//! Pure; who resolves the names is the watcher. Their addresses pass the same test as those of pods.

use std::net::IpAddr;

use federation_types::ClusterName;

/// Names that mean this machine or the credentials of the machine, whatever resolves them.
const NEVER: [&str; 6] = [
    "instance-data",
    "instance-data.ec2.internal",
    "localhost",
    "localhost.localdomain",
    "metadata",
    "metadata.google.internal",
];
/// Longest name that DNS has.
const NAME_MAX: usize = 253;

/// Why a route to such a name may be closed, where nobody has said which names are allowed.
pub const NAME_UNTOLD: &str = "only the gateway knows whether this name is allowed (--ingress-external-name)";

/// Names that Services of type ExternalName may have: none unless the operator says so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExternalNames {
    patterns: Vec<Box<str>>,
    untold: bool,
}

/// What is no pattern of names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither a host name nor \"*.\" with a domain nor \"*\"")]
pub struct ExternalNameError(String);

impl ExternalNames {
    /// Allows names as `api.example.com`, `*.example.com` (any number of labels) or `*`.
    ///
    /// # Errors
    /// [`ExternalNameError`] names the pattern.
    pub fn new<'p>(patterns: impl IntoIterator<Item = &'p str>) -> Result<Self, ExternalNameError> {
        let read = |pattern: &str| {
            let name = pattern.strip_prefix("*.").unwrap_or(pattern);
            let sound = pattern == "*" || normal(name).is_some();
            sound.then(|| pattern.to_ascii_lowercase().into()).ok_or_else(|| ExternalNameError(pattern.to_owned()))
        };
        let patterns = patterns.into_iter().map(read).collect::<Result<_, _>>()?;
        Ok(Self { patterns, untold: false })
    }

    /// What the operator has said elsewhere: nothing is allowed here, which says nothing of there.
    #[must_use]
    pub const fn untold() -> Self {
        Self { patterns: Vec::new(), untold: true }
    }

    /// Whether a name that is not allowed may be allowed where the operator has said it.
    #[must_use]
    pub fn may_allow(&self, name: &str) -> bool {
        let any = Self { patterns: vec!["*".into()], untold: false };
        self.untold && any.allowed(name).is_some()
    }

    /// The form in which an allowed name is resolved.
    #[must_use]
    pub fn allowed(&self, name: &str) -> Option<Box<str>> {
        if self.patterns.is_empty() {
            return None;
        }
        let name = normal(name)?;
        let fits = |pattern: &str| match pattern.strip_prefix('*') {
            Some(rest) => name.len() > rest.len() && name.ends_with(rest),
            None => *name == *pattern,
        };
        let never = NEVER.contains(&&*name) || name.ends_with(".localhost");
        (!never && self.patterns.iter().any(|pattern| fits(pattern))).then_some(name)
    }
}

/// A host name in lower case without trailing dot; addresses are none.
fn normal(name: &str) -> Option<Box<str>> {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let label =
        |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    // What ends with a number is read as an address by many (RFC 3696 §2).
    let numeric = name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    let sound = name.len() <= NAME_MAX && name.split('.').all(label) && !numeric && name.parse::<IpAddr>().is_err();
    let hexadecimal = name.rsplit('.').next().is_some_and(|last| last.starts_with("0x"));
    (sound && !hexadecimal).then(|| name.into())
}

/// Under what name of a cluster the addresses of such services are counted.
#[must_use]
pub fn outside() -> ClusterName {
    ClusterName::new("outside").expect("a label")
}

#[cfg(test)]
mod tests {
    use super::ExternalNames;

    /// Ingress: 45
    #[test]
    fn names_are_allowed_one_by_one_and_some_never() {
        let names = |patterns: &[&str]| ExternalNames::new(patterns.iter().copied()).expect("patterns");
        for (patterns, name, wanted) in [
            (&[][..], "api.example.com", None),
            (&["api.example.com"][..], "API.Example.com.", Some("api.example.com")),
            (&["api.example.com"][..], "x.api.example.com", None),
            (&["*.example.com"][..], "a.b.example.com", Some("a.b.example.com")),
            (&["*.example.com"][..], "example.com", None),
            (&["*.example.com"][..], "badexample.com", None),
            (&["*"][..], "anything.example", Some("anything.example")),
            (&["*"][..], "localhost", None),
            (&["*"][..], "LOCALHOST.", None),
            (&["*"][..], "x.localhost", None),
            (&["*"][..], "metadata.google.internal", None),
            (&["metadata.google.internal"][..], "metadata.google.internal", None),
            (&["*"][..], "169.254.169.254", None),
            (&["*"][..], "2130706433", None),
            (&["*"][..], "0x7f000001", None),
            (&["*"][..], "127.1", None),
            (&["*"][..], "::1", None),
            (&["*"][..], "a..b", None),
            (&["*"][..], "a b", None),
            (&["*"][..], "", None),
        ] {
            assert_eq!(names(patterns).allowed(name).as_deref(), wanted, "{patterns:?} {name}");
        }
        let untold = ExternalNames::untold();
        for (name, may) in [("api.example.com", true), ("localhost", false), ("10.0.0.1", false)] {
            assert_eq!((untold.allowed(name), untold.may_allow(name)), (None, may), "{name}");
            assert!(!names(&[]).may_allow(name), "{name}");
        }
        for bad in ["", "a*.b", "*.", "10.0.0.1", "a/b", "*.*.b"] {
            assert!(ExternalNames::new([bad]).is_err(), "{bad}");
        }
    }
}
