//! One annotation at a time: present or not. What a bad value is, its form in the table says; such a value is told and then as absent.
//!
//! Knows forms; what values mean is for the groups.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use http::HeaderValue;

use super::form;
use super::table::{self, Verdict};
use super::{Finding, Weight};
use crate::config::Network;

/// Reads the annotations of one Ingress, and keeps what is wrong with them.
pub(super) struct Reader<'a> {
    values: &'a BTreeMap<String, String>,
    /// Names of those that are not to be used.
    odd: BTreeSet<&'a str>,
    findings: Vec<Finding>,
    closed: Option<&'static str>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(values: &'a BTreeMap<String, String>) -> Self {
        let mut reader = Self { values, odd: BTreeSet::new(), findings: Vec::new(), closed: None };
        for (name, value) in values {
            let Some(row) = table::row(name) else {
                reader.found(name, "is no annotation that is known here".to_owned(), Weight::Lost);
                continue;
            };
            match (row.verdict, value.trim()) {
                (Verdict::Refused(why), _) => {
                    let weight = if row.guards { Weight::Closes } else { Weight::Lost };
                    reader.found(name, format!("is not supported: {why}"), weight);
                    if row.guards {
                        reader.closed = Some("an annotation that guards this route is not supported");
                    }
                }
                (_, "") if row.guards => {
                    reader.found(name, "is empty and keeps nobody out".to_owned(), Weight::Nothing);
                }
                (_, value) => {
                    if let Err(message) = row.check(value) {
                        reader.odd.insert(name);
                        reader.bad(name, message);
                    }
                }
            }
        }
        reader
    }

    /// What is wrong, and why nothing may pass.
    pub(super) fn finish(self) -> (Vec<Finding>, Option<&'static str>) {
        (self.findings, self.closed)
    }

    /// Says that a value cannot be used beside the others; where it guards, nobody passes.
    pub(super) fn wrong(&mut self, name: &str, wanted: &str) {
        match self.given(name) {
            Some(given) => {
                let shown: String = given.chars().take(60).collect();
                self.bad(name, format!("{shown:?} is not {wanted}"));
            }
            None => self.bad(name, format!("is absent, and has to be {wanted}")),
        }
    }

    /// The same in the words of who tried.
    pub(super) fn wrong_for(&mut self, name: &str, error: &dyn std::fmt::Display) {
        self.bad(name, error.to_string());
    }

    /// Says that a value is nothing, which changes nothing.
    pub(super) fn idle(&mut self, name: &str, why: &str) {
        if self.text(name).is_some() {
            self.found(name, why.to_owned(), Weight::Nothing);
        }
    }

    /// Says that a value is followed no further than it goes.
    pub(super) fn cut(&mut self, name: &str, how_far: String) {
        self.found(name, how_far, Weight::Cut);
    }

    /// Says of every annotation that it changes nothing, but for those that are `heard`.
    pub(super) fn pass_over(&mut self, heard: fn(&str) -> bool, why: &str) {
        for name in self.values.keys().filter(|name| !heard(name)) {
            let followed = table::row(name).is_some_and(|row| !matches!(row.verdict, Verdict::Ignored(_)));
            if followed {
                self.idle(name, why);
            }
        }
    }

    fn bad(&mut self, name: &str, message: String) {
        let guards = table::row(name).is_some_and(|row| row.guards);
        if guards {
            self.closed = Some("an annotation that guards this route cannot be read");
        }
        self.found(name, message, if guards { Weight::Closes } else { Weight::Lost });
    }

    fn found(&mut self, name: &str, message: String, weight: Weight) {
        if !self.findings.iter().any(|known| known.name == name) {
            self.findings.push(Finding { name: name.to_owned(), message, weight });
        }
    }

    /// The value as it was written, trimmed, also one that is told as bad; none where it is absent or empty.
    pub(super) fn given(&self, name: &str) -> Option<&'a str> {
        debug_assert!(table::row(name).is_some(), "{name} is not in the table");
        let value = self.values.get(name)?.trim();
        (!value.is_empty() && value.len() <= form::VALUE_MAX).then_some(value)
    }

    /// The value, trimmed; none where it is absent, empty or bad.
    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        self.given(name).filter(|_| !self.is_odd(name))
    }

    /// Whether there is a value that cannot be used.
    pub(super) fn is_odd(&self, name: &str) -> bool {
        self.odd.contains(name)
    }

    /// What `parse` makes of a sound value.
    pub(super) fn parsed<T>(&self, name: &str, parse: impl FnOnce(&'a str) -> Option<T>) -> Option<T> {
        self.text(name).and_then(parse)
    }

    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        self.parsed(name, form::flag)
    }

    pub(super) fn number(&self, name: &str) -> Option<u32> {
        self.parsed(name, form::number)
    }

    pub(super) fn seconds(&self, name: &str) -> Option<Duration> {
        self.parsed(name, form::seconds)
    }

    pub(super) fn bytes(&self, name: &str) -> Option<u64> {
        self.parsed(name, form::bytes)
    }

    pub(super) fn networks(&self, name: &str) -> Option<Box<[Network]>> {
        self.parsed(name, form::networks)
    }

    pub(super) fn header(&self, name: &str) -> Option<HeaderValue> {
        self.parsed(name, form::header)
    }

    pub(super) fn token(&self, name: &str) -> Option<Box<str>> {
        self.text(name).map(Into::into)
    }

    pub(super) fn url(&self, name: &str) -> Option<HeaderValue> {
        self.parsed(name, form::url)
    }

    pub(super) fn header_names(&self, name: &str) -> Option<HeaderValue> {
        self.parsed(name, form::header_names)
    }

    /// What one of a few words means, whatever its case.
    pub(super) fn one_of<T: Copy>(&self, name: &str, words: &[(&str, T)]) -> Option<T> {
        self.parsed(name, |value| {
            words.iter().find(|(word, _)| word.eq_ignore_ascii_case(value)).map(|(_, meant)| *meant)
        })
    }
}
