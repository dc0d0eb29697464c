//! The scalar annotations that place a template without any Placement: a grammar, compiled to the same policy.
//!
//! Refuses what it does not understand by a sentence that names the annotation; never guesses.

use std::collections::BTreeMap;

use federation_types::label;
use federation_types::placement::{ClusterSelector, Failover, PlacementSpec, Replicas, Spread};
use serde_json::json;

use super::glob;

/// Most terms in one annotation; more is a generated list that belongs into a Placement.
const TERMS_MAX: usize = 256;

/// What the annotations of one object say; `None` where one is absent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Annotated {
    pub clusters: Option<ClusterSelector>,
    pub replicas: Option<Replicas>,
    pub spread: Option<Vec<Spread>>,
    pub failover: Option<Failover>,
}

/// Why an annotation cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("metadata.annotations[{key}]: {reason}")]
pub struct AnnotationError {
    pub key: &'static str,
    pub reason: String,
}

impl Annotated {
    /// Reads the placing annotations among `annotations`.
    ///
    /// # Errors
    /// The first annotation that cannot be read.
    pub fn read(annotations: &BTreeMap<String, String>) -> Result<Self, AnnotationError> {
        Ok(Self {
            clusters: read_one(annotations, label::CLUSTERS, clusters)?,
            replicas: read_one(annotations, label::REPLICAS, replicas)?,
            spread: read_one(annotations, label::SPREAD, spread)?,
            failover: read_one(annotations, label::FAILOVER, failover)?,
        })
    }

    /// The policy that these annotations are, where they choose clusters.
    #[must_use]
    pub fn policy(&self) -> Option<PlacementSpec> {
        let clusters = self.clusters.clone()?;
        let mut spec = PlacementSpec { clusters: vec![clusters], ..PlacementSpec::default() };
        self.refine(&mut spec);
        Some(spec)
    }

    /// Lets what is written nearest to the template win over the policy that chose its clusters.
    pub fn refine(&self, spec: &mut PlacementSpec) {
        if let Some(replicas) = &self.replicas {
            spec.replicas = Some(replicas.clone());
        }
        if let Some(spread) = &self.spread {
            spec.spread.clone_from(spread);
        }
        if let Some(failover) = &self.failover {
            spec.failover = Some(failover.clone());
        }
    }
}

fn read_one<T>(
    annotations: &BTreeMap<String, String>,
    key: &'static str,
    parse: fn(&str) -> Result<T, String>,
) -> Result<Option<T>, AnnotationError> {
    annotations.get(key).map(|text| parse(text)).transpose().map_err(|reason| AnnotationError { key, reason })
}

/// `east,west` · `eu-*,!eu-3` · `tier=prod,zone!=a`: names and patterns, or a label selector, never both.
fn clusters(text: &str) -> Result<ClusterSelector, String> {
    let terms: Vec<&str> = text.split(',').map(str::trim).collect();
    if terms.len() > TERMS_MAX {
        return Err(format!("at most {TERMS_MAX} terms, got {}; use a Placement", terms.len()));
    }
    if terms.iter().any(|t| t.is_empty()) {
        return Err(format!("an empty term in {text:?}; to place nowhere write \"!*\""));
    }
    let labels = terms.iter().filter(|t| t.contains('=')).count();
    if labels == terms.len() {
        return label_terms(&terms);
    }
    if labels > 0 {
        return Err(format!("{text:?} mixes cluster names with label terms; use one or the other, or a Placement"));
    }
    let mut selector = ClusterSelector::default();
    for term in terms {
        let (list, pattern) = match term.strip_prefix('!') {
            Some(pattern) => (&mut selector.exclude, pattern),
            None => (&mut selector.names, term),
        };
        glob::check(pattern)?;
        list.push(pattern.to_owned());
    }
    Ok(selector)
}

fn label_terms(terms: &[&str]) -> Result<ClusterSelector, String> {
    let mut expressions = Vec::with_capacity(terms.len());
    for term in terms {
        let (key, operator, value) = if let Some((key, value)) = term.split_once("!=") {
            (key, "NotIn", value)
        } else if let Some((key, value)) = term.split_once("==") {
            (key, "In", value)
        } else if let Some((key, value)) = term.split_once('=') {
            (key, "In", value)
        } else {
            return Err(format!("{term:?} is no label term"));
        };
        let (key, value) = (key.trim(), value.trim());
        if !is_label_key(key) || !is_label_value(value) {
            return Err(format!("{term:?} is no label term: expected key=value or key!=value"));
        }
        expressions.push(json!({"key": key, "operator": operator, "values": [value]}));
    }
    Ok(ClusterSelector { label_selector: Some(json!({"matchExpressions": expressions})), ..ClusterSelector::default() })
}

fn is_label_key(key: &str) -> bool {
    let (prefix, name) = key.rsplit_once('/').unwrap_or(("x", key));
    let host = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
    !prefix.is_empty() && prefix.len() <= 253 && prefix.bytes().all(host) && !name.is_empty() && is_label_value(name)
}

fn is_label_value(value: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let edge = |b: Option<&u8>| b.is_none_or(u8::is_ascii_alphanumeric);
    let bytes = value.as_bytes();
    bytes.len() <= 63 && bytes.iter().copied().all(inner) && edge(bytes.first()) && edge(bytes.last())
}

fn replicas(text: &str) -> Result<Replicas, String> {
    let mode = match text.trim() {
        "divided" => "Divided",
        "duplicated" => "Duplicated",
        other => return Err(format!("expected \"divided\" or \"duplicated\", got {other:?}")),
    };
    Ok(Replicas { mode: mode.to_owned(), ..Replicas::default() })
}

/// `region>=2` · `cluster<=3` · `zone=2` · `region>=2,cluster<=5`.
fn spread(text: &str) -> Result<Vec<Spread>, String> {
    let mut all: Vec<Spread> = Vec::new();
    for term in text.split(',').map(str::trim) {
        let (by, min, max) = spread_term(term).ok_or_else(|| {
            format!("{term:?}: expected DIMENSION>=N, <=N or =N with N ≥ 1 and DIMENSION one of cluster, region, zone, provider, label:KEY")
        })?;
        let entry = match all.iter_mut().find(|s| s.by == by) {
            Some(entry) => entry,
            None => {
                all.push(Spread { by: by.to_owned(), min: 0, max: 0 });
                all.last_mut().expect("just pushed")
            }
        };
        entry.min = entry.min.max(min);
        entry.max = if entry.max == 0 {
            max
        } else if max == 0 {
            entry.max
        } else {
            entry.max.min(max)
        };
        if entry.max != 0 && entry.min > entry.max {
            return Err(format!("{text:?} asks for at least {} and at most {} of {by}", entry.min, entry.max));
        }
    }
    Ok(all)
}

fn spread_term(term: &str) -> Option<(&str, u32, u32)> {
    let at = term.find(['<', '>', '='])?;
    let (by, rest) = term.split_at(at);
    let by = by.trim();
    let known = matches!(by, "cluster" | "region" | "zone" | "provider");
    if !known && !by.strip_prefix("label:").is_some_and(is_label_key) {
        return None;
    }
    let number = |text: &str| text.trim().parse::<u32>().ok().filter(|n| *n >= 1);
    if let Some(n) = rest.strip_prefix(">=") {
        return Some((by, number(n)?, 0));
    }
    if let Some(n) = rest.strip_prefix("<=") {
        return Some((by, 0, number(n)?));
    }
    let n = number(rest.strip_prefix('=')?)?;
    Some((by, n, n))
}

/// `5m` · `5m,return=10m`.
fn failover(text: &str) -> Result<Failover, String> {
    let mut terms = text.split(',').map(str::trim);
    let after = terms.next().unwrap_or("");
    duration_seconds(after)?;
    let mut failover = Failover { after: after.to_owned(), return_after: String::new() };
    for term in terms {
        match term.strip_prefix("return=") {
            Some(back) if failover.return_after.is_empty() => {
                duration_seconds(back)?;
                back.clone_into(&mut failover.return_after);
            }
            _ => return Err(format!("{term:?}: expected return=DURATION once")),
        }
    }
    Ok(failover)
}

/// Seconds of a duration such as `90s`, `5m`, `1h30m`.
///
/// # Errors
/// A sentence that quotes the text.
pub fn duration_seconds(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no duration such as 90s, 5m or 1h30m");
    let mut total = 0u64;
    let mut digits = String::new();
    for c in text.chars() {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        let unit = match c {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            _ => return Err(wrong()),
        };
        let number: u64 = digits.parse().map_err(|_| wrong())?;
        digits.clear();
        total = number.checked_mul(unit).and_then(|n| total.checked_add(n)).ok_or_else(wrong)?;
    }
    if text.is_empty() || !digits.is_empty() { Err(wrong()) } else { Ok(total) }
}

#[cfg(test)]
mod tests;
