//! Paths as regular expressions, in the way of ingress-nginx: from the start, without regard to case, the longest text first.
//!
//! Bounded in size; the engine takes time linear in the path, whatever the pattern.

use std::sync::Arc;

use regex::{Regex, RegexBuilder};

use crate::route::Route;

/// Characters of a pattern's text.
const TEXT_MAX: usize = 1024;
/// Bytes of a compiled pattern: room for a dozen Unicode classes.
const COMPILED_MAX: usize = 128 << 10;
/// Groups in groups.
const NESTED_MAX: u32 = 32;

/// Why a path is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    #[error("the pattern has more than {TEXT_MAX} characters")]
    Long,
    #[error("the pattern would need more than {COMPILED_MAX} bytes")]
    Large,
    #[error("there are more patterns than one Ingress, or all together, may have")]
    Many,
    #[error("the host belongs first to another namespace, which has not asked for patterns")]
    Foreign,
    #[error("no regular expression, or one with backtracking (look-around, back-references): {0}")]
    Syntax(String),
}

/// A compiled path.
#[derive(Debug)]
pub struct Pattern {
    text: Box<str>,
    regex: Regex,
}

/// What the groups of a pattern stand for in one path.
#[derive(Debug)]
pub struct Groups<'p>(regex::Captures<'p>);

impl Pattern {
    /// Compiles `text` as a path of an Ingress.
    ///
    /// # Errors
    /// [`PatternError`]
    pub fn new(text: &str) -> Result<Self, PatternError> {
        if text.len() > TEXT_MAX {
            return Err(PatternError::Long);
        }
        let built = RegexBuilder::new(&format!("^(?:{text})"))
            .case_insensitive(true)
            .size_limit(COMPILED_MAX)
            .dfa_size_limit(COMPILED_MAX)
            .nest_limit(NESTED_MAX)
            .build();
        let regex = built.map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => PatternError::Large,
            // The last line says what is wrong; those before draw where.
            other => PatternError::Syntax(other.to_string().lines().last().unwrap_or_default().to_owned()),
        })?;
        Ok(Self { text: text.into(), regex })
    }

    /// The text that it was made of.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether a path begins as the pattern says.
    #[must_use]
    pub fn fits(&self, path: &str) -> bool {
        self.regex.is_match(path)
    }

    /// The groups of a path that fits.
    #[must_use]
    pub fn groups<'p>(&self, path: &'p str) -> Option<Groups<'p>> {
        self.regex.captures(path).map(Groups)
    }
}

impl<'p> Groups<'p> {
    /// Group `number`; empty if the pattern has no such group or it took no part.
    #[must_use]
    pub fn get(&self, number: usize) -> &'p str {
        self.0.get(number).map_or("", |found| found.as_str())
    }
}

/// The patterns of one host, in the order in which they are tried.
#[derive(Debug, Clone, Default)]
pub struct Patterns(Vec<(Arc<Pattern>, Arc<Route>)>);

impl Patterns {
    /// Adds a route unless an older one has its place, which is then returned.
    pub fn add(&mut self, pattern: Arc<Pattern>, route: Arc<Route>) -> Option<Arc<Route>> {
        let rank = |pattern: &Pattern| (std::cmp::Reverse(pattern.text.len()), std::cmp::Reverse(pattern.text.clone()));
        match self.0.binary_search_by_key(&rank(&pattern), |(other, _)| rank(other)) {
            Ok(at) => Some(self.0[at].1.clone()),
            Err(at) => {
                self.0.insert(at, (pattern, route));
                None
            }
        }
    }

    /// The first that fits.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<&(Arc<Pattern>, Arc<Route>)> {
        self.0.iter().find(|(pattern, _)| pattern.fits(path))
    }

    /// All patterns with their routes.
    pub fn entries(&self) -> impl Iterator<Item = (&Pattern, &Arc<Route>)> {
        self.0.iter().map(|(pattern, route)| (&**pattern, route))
    }

    /// All routes.
    pub fn routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.0.iter().map(|(_, route)| route)
    }
}

#[cfg(test)]
mod tests {
    use super::{Pattern, PatternError};

    /// Ingress: 41
    #[test]
    fn groups_are_what_the_path_has_in_their_place() {
        let pattern = Pattern::new("/x(/|$)(.*)").expect("a pattern");
        for (path, wanted) in
            [("/x/a/b", Some(["/", "a/b", ""])), ("/x", Some(["", "", ""])), ("/xy", None), ("/a/x/", None)]
        {
            let found = pattern.groups(path).map(|groups| [1, 2, 7].map(|number| groups.get(number)));
            assert_eq!(found, wanted, "{path}");
        }
        let either = Pattern::new("/a|/b(c)").expect("a pattern");
        assert!(either.fits("/BC") && either.fits("/a") && !either.fits("/x/a"));
        assert_eq!(either.groups("/a").expect("fits").get(1), "", "a group that took no part");
    }

    #[test]
    fn patterns_that_cost_too_much_or_cannot_be_are_refused() {
        for (text, wanted) in [
            ("/(", "no regular expression"),
            ("/(?=x)", "no regular expression"),
            ("/(a)\\1", "no regular expression"),
            ("/\\w{1000}", "more than 131072 bytes"),
            ("/(((a{100}){100}){100})", "more than 131072 bytes"),
        ] {
            let error = Pattern::new(text).expect_err(text).to_string();
            assert!(error.contains(wanted), "{text}: {error}");
        }
        assert_eq!(Pattern::new(&"a".repeat(2000)).err(), Some(PatternError::Long));
        let evil = Pattern::new("/(a+)+$").expect("a pattern");
        assert!(!evil.fits(&format!("/{}!", "a".repeat(60_000))), "linear time");
    }
}
