//! The matrix as text: a block a family, a row a verb, a column a client.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::cell::{Cell, Kind, Verdict};
use super::roster;

/// The table; columns in the roster's order.
pub fn render(results: &[(Cell, Verdict)]) -> String {
    let marks: Marks<'_> =
        results.iter().map(|(cell, verdict)| ((cell.entrant.name, cell.verb.as_str()), mark(&verdict.kind))).collect();
    let mut families: Vec<&str> = roster::ROSTER.iter().map(|entrant| entrant.family).collect();
    families.dedup();
    families.iter().map(|family| block(family, &marks)).collect()
}

type Marks<'a> = BTreeMap<(&'a str, &'a str), &'static str>;

fn mark(kind: &Kind) -> &'static str {
    match kind {
        Kind::Passed => "ok",
        Kind::Failed(_) => "FAILED",
        Kind::Skipped(why) if why.starts_with("waits") => "waits",
        Kind::Skipped(_) => "skip",
    }
}

/// One family's rows; nothing if none of its clients ran.
fn block(family: &str, marks: &Marks<'_>) -> String {
    let ran = |name: &str| marks.keys().any(|(client_name, _)| *client_name == name);
    let members = roster::ROSTER.iter().filter(|entrant| entrant.family == family);
    let columns: Vec<&str> = members.map(|entrant| entrant.name).filter(|name| ran(name)).collect();
    let verbs: BTreeSet<&str> =
        marks.keys().filter(|(name, _)| columns.contains(name)).map(|(_, verb)| *verb).collect();
    let Some(width) = verbs.iter().map(|verb| verb.len()).chain([family.len()]).max() else { return String::new() };
    if columns.is_empty() {
        return String::new();
    }
    let mut text = format!("{family:width$}");
    for name in &columns {
        write!(text, "  {name}").expect("a String takes everything");
    }
    text.push('\n');
    for verb in verbs {
        write!(text, "{verb:width$}").expect("a String takes everything");
        for name in &columns {
            let mark = marks.get(&(*name, verb)).copied().unwrap_or("-");
            write!(text, "  {mark:<length$}", length = name.len()).expect("a String takes everything");
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text.push('\n');
    text
}
