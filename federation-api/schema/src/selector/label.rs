//! Label selectors: requirements, their checks, the query-string parser and matching.
//!
//! Source: `k8s.io/apimachinery/pkg/labels`; error texts are its own.

use std::fmt;

use serde_json::{Value, json};

use super::lexer::{Item, Token, scan};
use super::{Labels, MAX_SELECTOR_BYTES, SelectorError};
use crate::field::{FieldError, FieldPath, aggregate, format};

const BINARY_OPERATORS: &str = "in, notin, =, ==, !=, gt, lt";

/// How a requirement compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operator {
    In,
    NotIn,
    Equals,
    DoubleEquals,
    NotEquals,
    Exists,
    DoesNotExist,
    GreaterThan,
    LessThan,
}

/// One condition on one label.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Requirement {
    key: String,
    operator: Operator,
    values: Vec<String>,
}

/// A conjunction of requirements; empty selects everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
    nothing: bool,
}

impl Requirement {
    /// Checks and builds one requirement.
    ///
    /// # Errors
    /// Every complaint, at `path.key` and `path.values[i]`.
    pub fn new(
        key: impl Into<String>,
        operator: Operator,
        values: Vec<String>,
        path: &FieldPath<'_>,
    ) -> Result<Self, Vec<FieldError>> {
        let key = key.into();
        let mut errors = Vec::new();
        if let Some(error) = check_key(&key, &path.child("key")) {
            errors.push(error);
        }
        let values_path = path.child("values");
        if let Some(detail) = wrong_count(operator, values.len()) {
            errors.push(FieldError::invalid(&values_path, json!(values), detail));
        }
        for (i, value) in values.iter().enumerate() {
            if matches!(operator, Operator::GreaterThan | Operator::LessThan) && parse_int(value).is_none() {
                let detail = "for 'Gt', 'Lt' operators, the value must be an integer";
                errors.push(FieldError::invalid(&values_path.index(i), value.as_str(), detail));
            }
        }
        for (i, value) in values.iter().enumerate() {
            let complaints = format::label_value(value);
            if !complaints.is_empty() {
                let at = values_path.index(i);
                errors.push(FieldError::invalid(&at.key(&key), value.as_str(), complaints.join("; ")));
            }
        }
        if errors.is_empty() { Ok(Requirement { key, operator, values }) } else { Err(errors) }
    }

    pub fn key(&self) -> &str {
        &self.key
    }

    pub fn operator(&self) -> Operator {
        self.operator
    }

    pub fn values(&self) -> &[String] {
        &self.values
    }

    pub fn matches(&self, labels: &(impl Labels + ?Sized)) -> bool {
        let found = labels.label(&self.key);
        match self.operator {
            Operator::In | Operator::Equals | Operator::DoubleEquals => found.is_some_and(|v| self.has(v)),
            Operator::NotIn | Operator::NotEquals => !found.is_some_and(|v| self.has(v)),
            Operator::Exists => found.is_some(),
            Operator::DoesNotExist => found.is_none(),
            Operator::GreaterThan => self.compare(found).is_some_and(|(have, want)| have > want),
            Operator::LessThan => self.compare(found).is_some_and(|(have, want)| have < want),
        }
    }

    fn has(&self, value: &str) -> bool {
        self.values.iter().any(|v| v == value)
    }

    fn compare(&self, found: Option<&str>) -> Option<(i64, i64)> {
        Some((parse_int(found?)?, parse_int(self.values.first()?)?))
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, between, after) = match self.operator {
            Operator::In => ("", " in (", ")"),
            Operator::NotIn => ("", " notin (", ")"),
            Operator::Equals => ("", "=", ""),
            Operator::DoubleEquals => ("", "==", ""),
            Operator::NotEquals => ("", "!=", ""),
            Operator::Exists => ("", "", ""),
            Operator::DoesNotExist => ("!", "", ""),
            Operator::GreaterThan => ("", ">", ""),
            Operator::LessThan => ("", "<", ""),
        };
        let mut values: Vec<&str> = self.values.iter().map(String::as_str).collect();
        values.sort_unstable();
        write!(f, "{before}{}{between}{}{after}", self.key, values.join(","))
    }
}

impl Default for LabelSelector {
    fn default() -> Self {
        LabelSelector::everything()
    }
}

impl LabelSelector {
    pub fn everything() -> Self {
        LabelSelector { requirements: Vec::new(), nothing: false }
    }

    pub fn nothing() -> Self {
        LabelSelector { requirements: Vec::new(), nothing: true }
    }

    /// From requirements; kept ordered by key, so that equal selectors render alike.
    pub fn new(mut requirements: Vec<Requirement>) -> Self {
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        LabelSelector { requirements, nothing: false }
    }

    /// Equality with every pair, unchecked: for pairs that come from a valid object.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let requirement = |(key, value): (&str, &str)| Requirement {
            key: key.to_owned(),
            operator: Operator::Equals,
            values: vec![value.to_owned()],
        };
        LabelSelector::new(pairs.into_iter().map(requirement).collect())
    }

    /// The `labelSelector` query parameter.
    ///
    /// # Errors
    /// Upstream's text; the server answers it with 400.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        if text.len() > MAX_SELECTOR_BYTES {
            return Err(SelectorError::TooLong);
        }
        let mut parser = Parser { items: scan(text), next: 0 };
        parser.selector().map(LabelSelector::new).map_err(SelectorError::Label)
    }

    /// A `LabelSelector` object (`matchLabels`, `matchExpressions`); null selects nothing, `{}` everything.
    ///
    /// # Errors
    /// Every complaint with its path below `path`.
    pub fn from_object(value: &Value, path: &FieldPath<'_>) -> Result<Self, Vec<FieldError>> {
        super::object::from_object(value, path)
    }

    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Whether it selects everything.
    pub fn is_empty(&self) -> bool {
        !self.nothing && self.requirements.is_empty()
    }

    pub fn matches(&self, labels: &(impl Labels + ?Sized)) -> bool {
        !self.nothing && self.requirements.iter().all(|r| r.matches(labels))
    }

    /// The one value that the label must have, if the selector says so.
    pub fn exact(&self, key: &str) -> Option<&str> {
        let requirement = self.requirements.iter().find(|r| r.key == key)?;
        match (requirement.operator, requirement.values.as_slice()) {
            (Operator::Equals | Operator::DoubleEquals | Operator::In, [one]) => Some(one),
            _ => None,
        }
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, requirement) in self.requirements.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            write!(f, "{requirement}")?;
        }
        Ok(())
    }
}

fn check_key(key: &str, path: &FieldPath<'_>) -> Option<FieldError> {
    let complaints = format::label_key(key);
    (!complaints.is_empty()).then(|| FieldError::invalid(path, key, complaints.join("; ")))
}

fn wrong_count(operator: Operator, count: usize) -> Option<&'static str> {
    match operator {
        Operator::In | Operator::NotIn if count == 0 => Some("for 'in', 'notin' operators, values set can't be empty"),
        Operator::Equals | Operator::DoubleEquals | Operator::NotEquals if count != 1 => {
            Some("exact-match compatibility requires one single value")
        }
        Operator::Exists | Operator::DoesNotExist if count != 0 => {
            Some("values set must be empty for exists and does not exist")
        }
        Operator::GreaterThan | Operator::LessThan if count != 1 => {
            Some("for 'Gt', 'Lt' operators, exactly one value is required")
        }
        _ => None,
    }
}

/// A decimal i64 as Go's `ParseInt` reads it.
fn parse_int(text: &str) -> Option<i64> {
    text.parse().ok()
}

struct Parser<'a> {
    items: Vec<Item<'a>>,
    next: usize,
}

/// Recursive descent, error texts as upstream. The item list always ends with `Token::End`, which is never passed.
impl Parser<'_> {
    fn peek(&self) -> (Token, &str) {
        let item = self.items.get(self.next).or(self.items.last()).expect("scan always yields an end token");
        (item.token, &item.text)
    }

    /// Like `peek`, where `in` and `notin` are plain words.
    fn peek_value(&self) -> (Token, &str) {
        match self.peek() {
            (Token::In | Token::NotIn, text) => (Token::Identifier, text),
            other => other,
        }
    }

    fn take(&mut self) -> (Token, String) {
        let (token, text) = self.peek();
        let taken = (token, text.to_owned());
        self.next += 1;
        taken
    }

    fn take_value(&mut self) -> (Token, String) {
        match self.take() {
            (Token::In | Token::NotIn, text) => (Token::Identifier, text),
            other => other,
        }
    }

    fn selector(&mut self) -> Result<Vec<Requirement>, String> {
        let mut requirements = Vec::new();
        loop {
            match self.peek_value() {
                (Token::End, _) => return Ok(requirements),
                (Token::Identifier | Token::Not, _) => {}
                (_, text) => return Err(format!("found '{text}', expected: !, identifier, or 'end of string'")),
            }
            let requirement = self.requirement().map_err(|e| format!("unable to parse requirement: {e}"))?;
            requirements.push(requirement);
            match self.take_value() {
                (Token::End, _) => return Ok(requirements),
                (Token::Comma, _) => match self.peek_value() {
                    (Token::Identifier | Token::Not, _) => {}
                    (_, text) => return Err(format!("found '{text}', expected: identifier after ','")),
                },
                (_, text) => return Err(format!("found '{text}', expected: ',' or 'end of string'")),
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let (mut token, mut key) = self.take_value();
        let negated = token == Token::Not;
        if negated {
            (token, key) = self.take_value();
        }
        if token != Token::Identifier {
            return Err(format!("found '{key}', expected: identifier"));
        }
        if let Some(error) = check_key(&key, &FieldPath::Nil) {
            return Err(error.to_string());
        }
        let bare = matches!(self.peek_value().0, Token::End | Token::Comma);
        let operator = match (negated, bare) {
            (true, _) => Operator::DoesNotExist,
            (false, true) => Operator::Exists,
            (false, false) => self.operator()?,
        };
        let mut values = match operator {
            Operator::Exists | Operator::DoesNotExist => Vec::new(),
            Operator::In | Operator::NotIn => self.value_list()?,
            _ => self.exact_value()?,
        };
        values.sort_unstable();
        values.dedup();
        Requirement::new(key, operator, values, &FieldPath::Nil).map_err(|errors| aggregate(&errors))
    }

    fn operator(&mut self) -> Result<Operator, String> {
        match self.take() {
            (Token::In, _) => Ok(Operator::In),
            (Token::NotIn, _) => Ok(Operator::NotIn),
            (Token::Equals, _) => Ok(Operator::Equals),
            (Token::DoubleEquals, _) => Ok(Operator::DoubleEquals),
            (Token::NotEquals, _) => Ok(Operator::NotEquals),
            (Token::GreaterThan, _) => Ok(Operator::GreaterThan),
            (Token::LessThan, _) => Ok(Operator::LessThan),
            (_, text) => Err(format!("found '{text}', expected: {BINARY_OPERATORS}")),
        }
    }

    fn value_list(&mut self) -> Result<Vec<String>, String> {
        let (token, text) = self.take_value();
        if token != Token::OpenParen {
            return Err(format!("found '{text}' expected: '('"));
        }
        match self.peek_value() {
            (Token::Identifier | Token::Comma, _) => {
                let (_, first) = self.peek_value();
                let first = first.to_owned();
                let values = self.identifiers()?;
                match self.take_value() {
                    (Token::CloseParen, _) => Ok(values),
                    _ => Err(format!("found '{first}', expected: ')'")),
                }
            }
            (Token::CloseParen, _) => {
                self.next += 1;
                Ok(vec![String::new()])
            }
            (_, text) => Err(format!("found '{text}', expected: ',', ')' or identifier")),
        }
    }

    fn identifiers(&mut self) -> Result<Vec<String>, String> {
        let mut values = Vec::new();
        loop {
            match self.take_value() {
                (Token::Identifier, text) => {
                    values.push(text);
                    match self.peek_value() {
                        (Token::Comma, _) => {}
                        (Token::CloseParen, _) => return Ok(values),
                        (_, text) => return Err(format!("found '{text}', expected: ',' or ')'")),
                    }
                }
                (Token::Comma, _) => {
                    if values.is_empty() {
                        values.push(String::new());
                    }
                    match self.peek_value().0 {
                        Token::CloseParen => {
                            values.push(String::new());
                            return Ok(values);
                        }
                        Token::Comma => values.push(String::new()),
                        _ => {}
                    }
                }
                (_, text) => return Err(format!("found '{text}', expected: ',', or identifier")),
            }
        }
    }

    fn exact_value(&mut self) -> Result<Vec<String>, String> {
        if matches!(self.peek_value().0, Token::End | Token::Comma) {
            return Ok(vec![String::new()]);
        }
        match self.take_value() {
            (Token::Identifier, text) => Ok(vec![text]),
            (_, text) => Err(format!("found '{text}', expected: identifier")),
        }
    }
}
