//! `cargo xtask test --list-spec`: each line of the protocol and of the ingress, and the tests that say they prove it.
//!
//! Reads the two statements and the sources as text. It knows no rule itself.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// A public statement, and the word by which tests name its lines.
struct Statement {
    /// Relative to the repository.
    file: &'static str,
    word: &'static str,
}

const STATEMENTS: &[Statement] = &[
    Statement { file: "federation-api/PROTOCOL.md", word: "Protocol" },
    Statement { file: "ingress/BEHAVIOUR.md", word: "Ingress" },
];
/// How a comment begins that names lines, by the file's extension.
const COMMENTS: &[(&str, &str)] =
    &[("rs", "/// "), ("go", "// "), ("js", "// "), ("mjs", "// "), ("py", "# "), ("sh", "# "), ("yaml", "# ")];
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

/// A statement and everything that was claimed about it.
#[derive(Debug)]
pub struct Spec {
    file: &'static str,
    rules: Vec<Rule>,
    refused: Vec<Rule>,
    claims: Vec<Claim>,
}

/// Prints the map.
///
/// # Errors
/// A line has no test, a test names a line that there is not, or a source cannot be read.
pub fn list(repository: &Path) -> Result<()> {
    let mut wrong = Vec::new();
    for statement in STATEMENTS {
        let spec = Spec::read(repository, statement)?;
        println!("{}:\n\n{}", statement.file, spec.report());
        wrong.extend(spec.unknown());
        wrong.extend(spec.unproved());
    }
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n"));
    }
    Ok(())
}

impl Spec {
    /// # Errors
    /// The statement or a source cannot be read.
    fn read(repository: &Path, statement: &Statement) -> Result<Self> {
        let file = statement.file;
        let text = fs::read_to_string(repository.join(file)).with_context(|| format!("read {file}"))?;
        let (rules, refused) = tables(&text).with_context(|| format!("read {file}"))?;
        let mut claims = Vec::new();
        visit(repository, repository, statement.word, &mut claims)?;
        claims.sort_by(|a, b| a.test.cmp(&b.test));
        Ok(Self { file, rules, refused, claims })
    }

    /// Claims about lines that there are not.
    pub fn unknown(&self) -> Vec<String> {
        let known = |id: &str| self.rules.iter().any(|rule| rule.id == id);
        let unknown = self.claims.iter().filter(|claim| !known(&claim.id));
        unknown.map(|claim| format!("{} names {}, which {} does not have", claim.test, claim.id, self.file)).collect()
    }

    /// Lines that nothing proves.
    pub fn unproved(&self) -> Vec<String> {
        let proved = |id: &str| self.claims.iter().any(|claim| claim.id == id);
        self.rules
            .iter()
            .filter(|rule| !proved(&rule.id))
            .map(|rule| format!("{} {} has no test", self.file, rule.id))
            .collect()
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
        bail!("there is no part \"Not served\"");
    };
    let rules = rows(served);
    for (at, rule) in rules.iter().enumerate() {
        if rules.iter().skip(at + 1).any(|other| other.id == rule.id) {
            bail!("{} is there twice", rule.id);
        }
    }
    Ok((rules, rows(refused)))
}

fn rows(table: &str) -> Vec<Rule> {
    let cells = table.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | "));
    let rows = cells.filter(|(id, _)| !matches!(*id, "id" | "what"));
    rows.map(|(id, text)| Rule { id: id.to_owned(), text: text.to_owned() }).collect()
}

fn visit(root: &Path, folder: &Path, word: &str, claims: &mut Vec<Claim>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
        if name.starts_with('.') || matches!(name, "target" | "node_modules") || path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            visit(root, &path, word, claims)?;
            continue;
        }
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or("");
        let Some((_, comment)) = COMMENTS.iter().find(|(of, _)| *of == extension) else { continue };
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let place = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
        claims.extend(claims_of(&place, &text, &format!("{comment}{word}: ")));
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
