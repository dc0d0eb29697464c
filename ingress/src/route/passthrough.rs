//! Hosts whose TLS goes to their endpoints as it is, by server name.

use std::collections::HashMap;
use std::sync::Arc;

use crate::route::Route;

/// Routes by server name: exact, then one-label wildcard.
#[derive(Debug, Default)]
pub struct Passthrough {
    exact: HashMap<Box<str>, Arc<Route>>,
    /// Keyed by what follows `*.`.
    wildcard: HashMap<Box<str>, Arc<Route>>,
}

impl Passthrough {
    /// Whether there is none at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.wildcard.is_empty()
    }

    /// The route for a server name in lower case.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Arc<Route>> {
        let wildcard = || self.wildcard.get(name.split_once('.').filter(|(label, _)| !label.is_empty())?.1);
        self.exact.get(name).or_else(wildcard)
    }

    /// Whether the name itself is there, not only a wildcard over it.
    #[must_use]
    pub fn names(&self, name: &str) -> bool {
        self.exact.contains_key(name)
    }

    /// Sends the TLS of `host`, which may begin with `*.`, by `route`; who came first stays.
    pub(super) fn insert(&mut self, host: &str, route: Arc<Route>) {
        let (map, name) = match host.strip_prefix("*.") {
            Some(rest) => (&mut self.wildcard, rest),
            None => (&mut self.exact, host),
        };
        map.entry(name.into()).or_insert(route);
    }
}
