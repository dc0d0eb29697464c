//! `cargo xtask test --list-spec`: each line of the protocol, and the tests that say they prove it.
//!
//! Reads PROTOCOL.md and the sources as text. It knows no rule itself.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// The public statement, relative to the repository.
const STATEMENT: &str = "federation-api/PROTOCOL.md";
/// How a test names the lines it proves, by the file's extension.
const MARKS: &[(&str, &str)] = &[
    ("rs", "/// Protocol: "),
    ("go", "// Protocol: "),
    ("js", "// Protocol: "),
    ("mjs", "// Protocol: "),
    ("py", "# Protocol: "),
    ("sh", "# Protocol: "),
    ("yaml", "# Protocol: "),
];
/// A function's head is at most this many lines below its mark: attributes stand between.
const MAX_HEAD_LINES: usize = 12;

/// A line of the statement.
#[derive(Debug, PartialEq, Eq)]
struct Rule {
    id: String,
    text: String,
}

/// What a test says.
#[derive(Debug, PartialEq, Eq)]
struct Claim {
    id: String,
    test: String,
}

/// The statement and everything that was claimed about it.
#[derive(Debug, Default)]
pub struct Spec {
    rules: Vec<Rule>,
    refused: Vec<Rule>,
    claims: Vec<Claim>,
}

/// Prints the map.
///
/// # Errors
/// A line has no test, a test names a line that there is not, or a source cannot be read.
pub fn list(repository: &Path) -> Result<()> {
    let spec = Spec::read(repository)?;
    print!("{}", spec.report());
    let wrong: Vec<String> = spec.unknown().into_iter().chain(spec.unproved()).collect();
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n"));
    }
    Ok(())
}

impl Spec {
    /// # Errors
    /// The statement or a source cannot be read.
    pub fn read(repository: &Path) -> Result<Self> {
        let statement = fs::read_to_string(repository.join(STATEMENT)).with_context(|| format!("read {STATEMENT}"))?;
        let (rules, refused) = tables(&statement)?;
        let mut claims = Vec::new();
        visit(repository, repository, &mut claims)?;
        claims.sort_by(|a, b| a.test.cmp(&b.test));
        Ok(Self { rules, refused, claims })
    }

    /// Claims about lines that there are not.
    pub fn unknown(&self) -> Vec<String> {
        let known = |id: &str| self.rules.iter().any(|rule| rule.id == id);
        let unknown = self.claims.iter().filter(|claim| !known(&claim.id));
        unknown.map(|claim| format!("{} names {}, which {STATEMENT} does not have", claim.test, claim.id)).collect()
    }

    /// Lines that nothing proves.
    pub fn unproved(&self) -> Vec<String> {
        let proved = |id: &str| self.claims.iter().any(|claim| claim.id == id);
        self.rules.iter().filter(|rule| !proved(&rule.id)).map(|rule| format!("{} has no test", rule.id)).collect()
    }

    fn report(&self) -> String {
        let mut tests: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for claim in &self.claims {
            tests.entry(&claim.id).or_default().push(&claim.test);
        }
        let mut out = String::new();
        for rule in &self.rules {
            writeln!(out, "{:<5} {}", rule.id, rule.text).expect("a String takes everything");
            for test in tests.get(&*rule.id).into_iter().flatten() {
                writeln!(out, "        {test}").expect("a String takes everything");
            }
        }
        out.push_str("\nnot served:\n");
        for rule in &self.refused {
            writeln!(out, "  {}: {}", rule.id, rule.text).expect("a String takes everything");
        }
        let proved = self.rules.len() - self.unproved().len();
        writeln!(out, "\n{proved} of {} lines have a test", self.rules.len()).expect("a String takes everything");
        out
    }
}

/// The rows of the statement's two tables.
fn tables(statement: &str) -> Result<(Vec<Rule>, Vec<Rule>)> {
    let Some((served, refused)) = statement.split_once("\n## Not served\n") else {
        bail!("{STATEMENT} has no part \"Not served\"");
    };
    let rules = rows(served);
    for (at, rule) in rules.iter().enumerate() {
        if rules.iter().skip(at + 1).any(|other| other.id == rule.id) {
            bail!("{STATEMENT} has {} twice", rule.id);
        }
    }
    Ok((rules, rows(refused)))
}

fn rows(table: &str) -> Vec<Rule> {
    let cells = table.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | "));
    let rows = cells.filter(|(id, _)| !matches!(*id, "id" | "what"));
    rows.map(|(id, text)| Rule { id: id.to_owned(), text: text.to_owned() }).collect()
}

fn visit(root: &Path, folder: &Path, claims: &mut Vec<Claim>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
        if name.starts_with('.') || matches!(name, "target" | "node_modules") || path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            visit(root, &path, claims)?;
            continue;
        }
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or("");
        let Some((_, mark)) = MARKS.iter().find(|(of, _)| *of == extension) else { continue };
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let place = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
        claims.extend(claims_of(&place, &text, mark));
    }
    Ok(())
}

/// What one file claims: for the function below the mark, or for the file where there is none.
fn claims_of(place: &str, text: &str, mark: &str) -> Vec<Claim> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let mut claims = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(ids) = line.strip_prefix(mark) else { continue };
        let below = lines.iter().skip(at + 1).take(MAX_HEAD_LINES);
        let test = match below.filter_map(|line| function(line)).next() {
            Some(name) => format!("{place} {name}"),
            None => place.to_owned(),
        };
        for id in ids.split(',').map(str::trim).filter(|id| !id.is_empty()) {
            claims.push(Claim { id: id.to_owned(), test: test.clone() });
        }
    }
    claims
}

fn function(line: &str) -> Option<&str> {
    let head = ["async fn ", "fn ", "pub async fn ", "pub fn ", "func ", "def ", "async def "];
    let rest = head.iter().find_map(|head| line.strip_prefix(head))?;
    rest.split('(').next().filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests;
