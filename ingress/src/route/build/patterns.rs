//! Paths that are patterns: on which hosts, whose, and what is closed where one cannot be used.

use std::collections::HashMap;
use std::sync::Arc;

use super::Builder;
use crate::annotation::Reading;
use crate::route::Route;
use crate::route::backend::Backend;
use crate::route::pattern::{Pattern, PatternError};
use crate::route::policy::Policy;
use crate::snapshot::{IngressObject, RulePath};

/// Patterns of one table: a few hundred bytes each when they are small, some 64 kB when they are not.
const PATTERNS_MAX: usize = 4_096;
/// Paths of one Ingress that may be patterns; the API takes objects with thousands.
const OF_ONE_MAX: usize = 128;
/// What makes a text more than a text.
const SIGNS: &str = "\\.+*?()|[]{}^$";

/// Hosts whose paths are patterns: those whose oldest Ingress is of a namespace in which one asks for it.
pub(super) fn patterned_hosts<'s>(read: &[(&'s IngressObject, Reading)]) -> HashMap<&'s str, &'s str> {
    let hosts = |ingress: &'s IngressObject| {
        let namespace: &'s str = &ingress.key.namespace;
        ingress.rules.iter().map(move |rule| (rule.host.as_str(), namespace))
    };
    let mut owners = HashMap::new();
    for (host, namespace) in read.iter().flat_map(|(ingress, _)| hosts(ingress)) {
        owners.entry(host).or_insert(namespace);
    }
    let asked = read.iter().filter(|(_, reading)| reading.patterned).flat_map(|(ingress, _)| hosts(ingress));
    asked.filter(|(host, namespace)| owners.get(host) == Some(namespace)).collect()
}

impl<'s> Builder<'s> {
    /// The pattern of a path, where its host has patterns; paths of other namespaces are texts there, too.
    ///
    /// # Errors
    /// Why it is none.
    pub(super) fn pattern_of(
        &mut self,
        ingress: &IngressObject,
        host: &'s str,
        path: &'s RulePath,
    ) -> Result<Option<Arc<Pattern>>, PatternError> {
        match self.patterned.get(host).copied() {
            None if self.asks_for_patterns => Err(PatternError::Foreign),
            None => Ok(None),
            Some(owner) if *owner != *ingress.key.namespace => self.pattern(&regex::escape(&path.path)).map(Some),
            Some(_) if ingress.paths() > OF_ONE_MAX => Err(PatternError::Many),
            Some(_) => self.pattern(&path.path).map(Some),
        }
    }

    fn pattern(&mut self, text: &str) -> Result<Arc<Pattern>, PatternError> {
        if let Some(known) = self.table.patterns.get(text) {
            return known.clone();
        }
        if self.table.patterns.len() >= PATTERNS_MAX {
            return Err(PatternError::Many);
        }
        let before = self.before.and_then(|table| table.patterns.get(text)).cloned();
        let pattern = before.unwrap_or_else(|| Pattern::new(text).map(Arc::new));
        self.table.patterns.insert(text.into(), pattern.clone());
        pattern
    }

    /// Answers 503 where a guarded path begins that cannot be used, so that nobody reaches by another route what it guards.
    pub(super) fn close(&mut self, ingress: &IngressObject, host: &'s str, path: &str) {
        if !self.policy.guards() && self.extauth.is_none() {
            return;
        }
        let literal = path.split(|sign| SIGNS.contains(sign)).next().unwrap_or_default();
        let literal = if literal.is_empty() { "/" } else { literal };
        let policy = Policy { closed: Some("the path is no pattern that can be used"), ..Policy::default() };
        let backend = Arc::new(Backend::faulty(format!("closed/{}", ingress.key).into(), "the path is no pattern"));
        let number = self.number(&ingress.key, &backend.name);
        let plain = Route::plain(ingress.key.clone(), backend, number);
        let route = Arc::new(Route { policy: Arc::new(policy), ..plain });
        match (self.patterned.contains_key(host), self.pattern(&regex::escape(literal))) {
            (true, Ok(pattern)) => drop(self.host(host).add_pattern(pattern, route)),
            _ => drop(self.host(host).add(crate::snapshot::PathKind::Text, literal, route)),
        }
    }
}
