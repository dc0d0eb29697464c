//! Versions in the order in which Kubernetes prefers them: v2 before v1 before v1beta1, and anything else last.
//!
//! Source: k8s.io/apimachinery `pkg/version/helpers.go`.

use std::cmp::Ordering;

/// What a version's name says about its age; better ones are greater.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// Not a version of Kubernetes' form.
    Other,
    /// alpha 0, beta 1, stable 2; then major and minor.
    Known(u8, u64, u64),
}

/// Compares two versions: the better one is greater; names of no known form are ordered backwards.
pub(crate) fn compare(a: &str, b: &str) -> Ordering {
    match (rank(a), rank(b)) {
        (Rank::Other, Rank::Other) => b.cmp(a),
        (a, b) => a.cmp(&b),
    }
}

fn rank(name: &str) -> Rank {
    let parse = || {
        let rest = name.strip_prefix('v')?;
        let (major, rest) = number(rest)?;
        if rest.is_empty() {
            return Some(Rank::Known(2, major, 0));
        }
        let (level, rest) = match (rest.strip_prefix("alpha"), rest.strip_prefix("beta")) {
            (Some(rest), _) => (0, rest),
            (_, Some(rest)) => (1, rest),
            _ => return None,
        };
        if rest.is_empty() {
            return Some(Rank::Known(level, major, 0));
        }
        let (minor, rest) = number(rest)?;
        rest.is_empty().then_some(Rank::Known(level, major, minor))
    };
    parse().unwrap_or(Rank::Other)
}

fn number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    (!digits.starts_with('0')).then_some(())?;
    Some((digits.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::compare;

    #[test]
    fn better_versions_come_first() {
        let mut versions = vec![
            "foo1",
            "v1",
            "v12alpha1",
            "foo10",
            "v10",
            "v2",
            "v1beta1",
            "v11beta2",
            "v1alpha2",
            "v3beta1",
            "v1beta2",
        ];
        versions.sort_by(|a, b| compare(b, a));
        let sorted =
            ["v10", "v2", "v1", "v11beta2", "v3beta1", "v1beta2", "v1beta1", "v12alpha1", "v1alpha2", "foo1", "foo10"];
        assert_eq!(versions, sorted);
    }
}
