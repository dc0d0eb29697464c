//! The kept list: which tests of the suite pass, and why others do not.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// What is expected of one test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Pass,
    /// It could pass and does not yet.
    Fail,
    /// It needs what a hub without kubelets does not have.
    Out,
}

/// `verdict | name | why`; the reason is empty for those that pass.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    pub verdict: Verdict,
    pub name: String,
    pub why: String,
}

pub struct Expected(Vec<Line>);

impl Expected {
    /// # Errors
    /// The file cannot be read, or a line is not of the form.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self> {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let lines: Vec<Line> = lines.map(parse).collect::<Result<_>>()?;
        for (at, line) in lines.iter().enumerate() {
            if lines.iter().skip(at + 1).any(|other| other.name == line.name) {
                bail!("{:?} is listed twice", line.name);
            }
        }
        Ok(Self(lines))
    }

    pub fn find(&self, name: &str) -> Option<&Line> {
        self.0.iter().find(|line| line.name == name)
    }

    /// A regular expression that matches exactly the tests that pass.
    pub fn focus(&self) -> String {
        let passing = self.passing().map(escaped);
        format!("({})$", passing.collect::<Vec<_>>().join("|"))
    }

    /// The tests that are not run, with their reasons.
    pub fn left_out(&self) -> impl Iterator<Item = &Line> {
        self.0.iter().filter(|line| line.verdict != Verdict::Pass)
    }

    /// Tests that should have run and did not.
    pub fn absent<'a>(&'a self, ran: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
        let ran: Vec<&str> = ran.collect();
        self.passing().filter(|name| !ran.contains(name)).collect()
    }

    fn passing(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|line| line.verdict == Verdict::Pass).map(|line| &*line.name)
    }
}

fn parse(line: &str) -> Result<Line> {
    let mut parts = line.splitn(3, " | ");
    let (verdict, name, why) = (parts.next().unwrap_or(""), parts.next(), parts.next().unwrap_or(""));
    let verdict = match verdict {
        "pass" => Verdict::Pass,
        "fail" => Verdict::Fail,
        "out" => Verdict::Out,
        other => bail!("{other:?} is no verdict: {line}"),
    };
    let name = name.filter(|name| !name.is_empty()).with_context(|| format!("no name: {line}"))?;
    if (verdict == Verdict::Pass) != why.is_empty() {
        bail!("what does not pass has a reason, and only that: {line}");
    }
    Ok(Line { verdict, name: name.to_owned(), why: why.to_owned() })
}

/// The name as a regular expression.
fn escaped(name: &str) -> String {
    let special =
        |c: char| matches!(c, '\\' | '.' | '+' | '*' | '?' | '(' | ')' | '|' | '[' | ']' | '{' | '}' | '^' | '$');
    let mut out = String::new();
    for c in name.chars() {
        if special(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Expected, Verdict};
    use crate::conformance::EXPECTED;
    use crate::paths;

    #[test]
    fn the_list_says_what_passes_and_why_not() {
        let text = "# words\n\npass | [sig-a] b (c) [Conformance]\nout | d | needs a kubelet\n";
        let expected = Expected::parse(text).expect("two lines");
        assert_eq!(expected.focus(), "(\\[sig-a\\] b \\(c\\) \\[Conformance\\])$");
        assert_eq!(expected.find("d").expect("a line").verdict, Verdict::Out);
        assert_eq!(expected.left_out().count(), 1);
        assert_eq!(expected.absent(["d"].into_iter()), ["[sig-a] b (c) [Conformance]"]);
        for bad in ["maybe | a", "pass", "pass | ", "out | a", "pass | a | why", "pass | a\npass | a"] {
            assert!(Expected::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_kept_list_is_well_formed() {
        let expected = Expected::read(&paths::repository().join(EXPECTED)).expect("the kept list");
        assert!(expected.passing().count() > 0);
    }
}
