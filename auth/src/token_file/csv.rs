//! Comma-separated records as Go's `encoding/csv` reads them, strictly, with line numbers.
//!
//! Knows quoting and lines; not what the columns mean.

use super::TokenFileError;

/// One record and the line that it starts in, counted from 1.
pub(super) struct Record {
    pub(super) line: usize,
    pub(super) fields: Vec<String>,
}

/// The records of a text; empty lines are skipped.
pub(super) struct Records<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Records<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: text, line: 1 }
    }

    fn record(&mut self) -> Result<Record, TokenFileError> {
        let mut record = Record { line: self.line, fields: Vec::new() };
        loop {
            let field = match self.rest.strip_prefix('"') {
                Some(quoted) => self.quoted(quoted)?,
                None => self.plain()?,
            };
            record.fields.push(field);
            if let Some(rest) = self.rest.strip_prefix(',') {
                self.rest = rest;
                continue;
            }
            if self.rest.is_empty() || self.end_line() {
                return Ok(record);
            }
            return Err(self.problem("text follows a closing quote"));
        }
    }

    fn plain(&mut self) -> Result<String, TokenFileError> {
        let end = self.rest.find([',', '\n']).unwrap_or(self.rest.len());
        let (field, rest) = self.rest.split_at(end);
        let at_line_end = !rest.starts_with(',');
        let field = if at_line_end { field.strip_suffix('\r').unwrap_or(field) } else { field };
        if field.contains('"') {
            return Err(self.problem("a quote stands inside an unquoted field"));
        }
        self.rest = rest;
        Ok(field.to_owned())
    }

    fn quoted(&mut self, mut rest: &'a str) -> Result<String, TokenFileError> {
        let mut field = String::new();
        let mut lines = 0;
        loop {
            let Some(end) = rest.find('"') else {
                return Err(self.problem("a quoted field is not closed"));
            };
            let part = &rest[..end];
            lines += part.matches('\n').count();
            field.push_str(part);
            rest = &rest[end + 1..];
            match rest.strip_prefix('"') {
                Some(more) => {
                    field.push('"');
                    rest = more;
                }
                None => break,
            }
        }
        self.rest = rest;
        self.line += lines;
        Ok(field)
    }

    fn end_line(&mut self) -> bool {
        let rest = self.rest.strip_prefix("\r\n").or_else(|| self.rest.strip_prefix('\n'));
        if let Some(rest) = rest {
            self.rest = rest;
            self.line += 1;
        }
        rest.is_some()
    }

    fn problem(&self, problem: &'static str) -> TokenFileError {
        TokenFileError::Csv { line: self.line, problem }
    }
}

impl Iterator for Records<'_> {
    type Item = Result<Record, TokenFileError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.end_line() {}
        if self.rest.is_empty() {
            return None;
        }
        let record = self.record();
        if record.is_err() {
            self.rest = "";
        }
        Some(record)
    }
}
