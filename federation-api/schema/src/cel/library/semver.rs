//! Semantic versions.

use std::cmp::Ordering;
use std::fmt;

use super::super::value::{EvalError, Value};
use super::{Row, wrong};

pub(super) const TABLE: &[Row] =
    &[("semver", parse), ("isSemver", is), ("major", major), ("minor", minor), ("patch", patch)];

type Out<'a> = Result<Value<'a>, EvalError>;

/// A version as semver.org has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Semver {
    major: u64,
    minor: u64,
    patch: u64,
    pre: Vec<Part>,
    build: Vec<String>,
}

/// A part of a pre-release; numbers come before words.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Number(u64),
    Word(String),
}

impl Semver {
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Semver, String> {
        if text.is_empty() {
            return Err("Version string empty".to_owned());
        }
        let parts: Vec<&str> = text.splitn(3, '.').collect();
        let [major, minor, rest] = parts[..] else { return Err("No Major.Minor.Patch elements found".to_owned()) };
        let (rest, build) = match rest.split_once('+') {
            Some((rest, build)) => (rest, Some(build)),
            None => (rest, None),
        };
        let (patch, pre) = match rest.split_once('-') {
            Some((patch, pre)) => (patch, Some(pre)),
            None => (rest, None),
        };
        let words = |text: Option<&str>| text.map(|text| text.split('.').map(str::to_owned).collect::<Vec<_>>());
        let build = words(build).unwrap_or_else(Vec::new);
        if let Some(bad) = build.iter().find(|part| part.is_empty() || !is_word(part)) {
            let what = if bad.is_empty() { "Build meta data is empty" } else { "Invalid character(s) found in build" };
            return Err(format!("{what} meta data {bad:?}"));
        }
        let pre = words(pre).unwrap_or_else(Vec::new);
        Ok(Semver {
            major: number(major, "major")?,
            minor: number(minor, "minor")?,
            patch: number(patch, "patch")?,
            pre: pre.iter().map(|part| pre_release(part)).collect::<Result<_, _>>()?,
            build,
        })
    }

    /// Order of versions; what they were built from does not count.
    pub fn cmp_precedence(&self, other: &Semver) -> Ordering {
        let numbers = (self.major, self.minor, self.patch).cmp(&(other.major, other.minor, other.patch));
        numbers.then_with(|| match (self.pre.is_empty(), other.pre.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => self.pre.cmp(&other.pre),
        })
    }
}

impl fmt::Display for Semver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)?;
        for (at, part) in self.pre.iter().enumerate() {
            f.write_str(if at == 0 { "-" } else { "." })?;
            match part {
                Part::Number(number) => write!(f, "{number}")?,
                Part::Word(word) => f.write_str(word)?,
            }
        }
        for (at, part) in self.build.iter().enumerate() {
            f.write_str(if at == 0 { "+" } else { "." })?;
            f.write_str(part)?;
        }
        Ok(())
    }
}

fn is_word(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn number(text: &str, which: &str) -> Result<u64, String> {
    if !is_number(text) {
        return Err(format!("Invalid character(s) found in {which} number {text:?}"));
    }
    if text.len() > 1 && text.starts_with('0') {
        let which = which[..1].to_uppercase() + &which[1..];
        return Err(format!("{which} number must not contain leading zeroes {text:?}"));
    }
    text.parse().map_err(|_| format!("{which} number {text:?} is out of range"))
}

fn pre_release(text: &str) -> Result<Part, String> {
    if text.is_empty() {
        return Err("Prerelease is empty".to_owned());
    }
    if is_number(text) {
        if text.len() > 1 && text.starts_with('0') {
            return Err(format!("Numeric PreRelease version must not contain leading zeroes {text:?}"));
        }
        return text.parse().map(Part::Number).map_err(|_| format!("prerelease {text:?} is out of range"));
    }
    if is_word(text) {
        return Ok(Part::Word(text.to_owned()));
    }
    Err(format!("Invalid character(s) found in prerelease {text:?}"))
}

/// A version written loosely: with a `v`, leading zeros, or without all three numbers.
fn normalized(text: &str) -> Result<String, String> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let mut parts: Vec<String> = text
        .splitn(3, '.')
        .map(|part| {
            if part.len() <= 1 {
                return part.to_owned();
            }
            let trimmed = part.trim_start_matches('0');
            if trimmed.starts_with(|c: char| c.is_ascii_digit()) { trimmed.to_owned() } else { format!("0{trimmed}") }
        })
        .collect();
    if parts.len() < 3 {
        if parts.last().is_some_and(|part| part.contains(['+', '-'])) {
            return Err("short version cannot contain PreRelease/Build meta data".to_owned());
        }
        parts.resize(3, "0".to_owned());
    }
    Ok(parts.join("."))
}

fn read(args: &[Value<'_>]) -> Result<Result<Semver, String>, EvalError> {
    Ok(match args {
        [Value::String(text)] | [Value::String(text), Value::Bool(false)] => Semver::parse(text),
        [Value::String(text), Value::Bool(true)] => normalized(text).and_then(|text| Semver::parse(&text)),
        _ => return Err(EvalError::no_such_overload()),
    })
}

fn parse<'a>(args: &[Value<'a>]) -> Out<'a> {
    read(args)?.map(|version| Value::Semver(version.into())).map_err(EvalError::new)
}

fn is<'a>(args: &[Value<'a>]) -> Out<'a> {
    Ok(Value::Bool(read(args)?.is_ok()))
}

fn part<'a>(args: &[Value<'a>], of: fn(&Semver) -> u64) -> Out<'a> {
    match args {
        [Value::Semver(version)] => Ok(Value::Int(of(version) as i64)),
        _ => wrong(),
    }
}

fn major<'a>(args: &[Value<'a>]) -> Out<'a> {
    part(args, |version| version.major)
}

fn minor<'a>(args: &[Value<'a>]) -> Out<'a> {
    part(args, |version| version.minor)
}

fn patch<'a>(args: &[Value<'a>]) -> Out<'a> {
    part(args, |version| version.patch)
}
