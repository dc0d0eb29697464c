//! Where in the text something is, and how a complaint about it is shown; it knows no grammar.

use std::fmt::Write as _;

use super::ast::Id;

/// Longer lines are not quoted in errors; upstream's number.
const MAX_SNIPPET: usize = 16384;
/// More complaints than these are not collected; upstream's number.
const MAX_ISSUES: usize = 100;

/// One complaint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// Where, in characters from the start; none for the expression as a whole.
    pub offset: Option<u32>,
    pub message: String,
}

/// Why an expression does not compile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileError {
    pub issues: Vec<Issue>,
    text: String,
}

/// Complaints as they are collected, and the text that they are about.
#[derive(Debug)]
pub(crate) struct Issues {
    source: String,
    /// Offset by node, filled by the parser.
    pub(crate) offsets: Vec<Option<u32>>,
    list: Vec<Issue>,
}

impl Issues {
    pub(crate) fn new(source: &str) -> Self {
        Issues { source: source.to_owned(), offsets: vec![None], list: Vec::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Takes one more complaint, about a node.
    pub(crate) fn report(&mut self, id: Id, message: impl Into<String>) {
        let offset = self.offsets.get(id as usize).copied().flatten();
        self.report_at(offset, message);
    }

    /// Takes one more complaint, about a place.
    pub(crate) fn report_at(&mut self, offset: Option<u32>, message: impl Into<String>) {
        if self.list.len() < MAX_ISSUES {
            self.list.push(Issue { offset, message: message.into() });
        }
    }

    /// All complaints, sorted by place.
    pub(crate) fn into_error(mut self) -> CompileError {
        self.list.sort_by_key(|issue| issue.offset.map_or(-1, i64::from));
        let lines: Vec<&str> = self.source.split('\n').collect();
        let shown: Vec<String> = self.list.iter().map(|issue| show(issue, &lines)).collect();
        CompileError { issues: self.list, text: shown.join("\n") }
    }
}

impl CompileError {
    /// An error that has no place in the text.
    pub(crate) fn plain(message: impl Into<String>) -> Self {
        let message = message.into();
        CompileError { issues: vec![Issue { offset: None, message: message.clone() }], text: message }
    }
}

impl std::fmt::Display for CompileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for CompileError {}

/// `ERROR: <input>:1:5: message`, the line and a caret under the place.
fn show(issue: &Issue, lines: &[&str]) -> String {
    let Some(offset) = issue.offset else { return format!("ERROR: <input>:-1:0: {}", issue.message) };
    let (mut line, mut column) = (0, offset as usize);
    while let Some(text) = lines.get(line) {
        let length = text.chars().count();
        if column <= length {
            break;
        }
        column -= length + 1;
        line += 1;
    }
    let mut out = format!("ERROR: <input>:{}:{}: {}", line + 1, column + 1, issue.message);
    let Some(text) = lines.get(line).filter(|text| text.len() <= MAX_SNIPPET) else { return out };
    let text = text.replace('\t', " ");
    let mut marks: String = text.chars().take(column).map(|c| if c.is_ascii() { '.' } else { '\u{ff0e}' }).collect();
    marks.push(if text.chars().nth(column).is_some_and(|c| !c.is_ascii()) { '\u{ff3e}' } else { '^' });
    write!(out, "\n | {text}\n | {marks}").expect("writing to a string does not fail");
    out
}
