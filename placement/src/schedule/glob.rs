//! Patterns for cluster names: `*` stands for any run of characters, nothing else is special.
//!
//! Knows no clusters.

use federation_types::ClusterName;

/// Whether `name` matches `pattern`.
#[must_use]
pub fn matches(pattern: &str, name: &str) -> bool {
    let Some((head, mut rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut name) = name.strip_prefix(head) else {
        return false;
    };
    // Each piece between stars takes its first occurrence; only the last must sit at the end.
    while let Some((piece, tail)) = rest.split_once('*') {
        let Some(at) = name.find(piece) else {
            return false;
        };
        name = &name[at + piece.len()..];
        rest = tail;
    }
    name.ends_with(rest)
}

/// Whether `pattern` names exactly one cluster.
#[must_use]
pub fn is_exact(pattern: &str) -> bool {
    !pattern.contains('*')
}

/// Says what is wrong with a pattern, if anything is.
///
/// # Errors
/// A sentence that quotes the pattern.
pub fn check(pattern: &str) -> Result<(), String> {
    if is_exact(pattern) {
        return ClusterName::new(pattern).map(|_| ()).map_err(|wrong| format!("{pattern:?}: {wrong}"));
    }
    let fine = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'*';
    if pattern.len() <= 63 && pattern.bytes().all(fine) {
        Ok(())
    } else {
        Err(format!("{pattern:?}: a pattern consists of lower case alphanumeric characters, '-' and '*', at most 63"))
    }
}

#[cfg(test)]
mod tests {
    use super::{check, matches};

    #[test]
    fn stars_stand_for_any_run() {
        for (pattern, name, want) in [
            ("east", "east", true),
            ("east", "east-1", false),
            ("eu-*", "eu-1", true),
            ("eu-*", "us-1", false),
            ("*", "anything", true),
            ("*-1", "eu-1", true),
            ("*-1", "eu-11", false),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            ("**", "x", true),
        ] {
            assert_eq!(matches(pattern, name), want, "{pattern} {name}");
        }
    }

    #[test]
    fn nonsense_is_named() {
        for bad in ["", "East", "eu_1", "a.b", "é*", "-a", "A*"] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
        for good in ["east", "eu-*", "*", "*-1"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
    }
}
