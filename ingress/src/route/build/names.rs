//! Names of hosts that no rule has: aliases, and `www.` where the bare name has routes, or the other way round.

use std::sync::Arc;

use super::Builder;
use crate::route::Route;
use crate::route::backend::Backend;
use crate::route::policy::{Https, Policy, WhenHttps};

impl Builder<'_> {
    /// A name that a rule has is that rule's, whoever claims it as an alias; of several claims the oldest counts.
    pub(super) fn name_aliases(&mut self) {
        for (alias, host) in std::mem::take(&mut self.aliases) {
            let ruled = match alias.strip_prefix("*.") {
                Some(rest) => self.table.wildcard.contains_key(rest),
                None => self.table.exact.contains_key(alias.as_str()),
            };
            let routes = match host.strip_prefix("*.") {
                Some(rest) => self.table.wildcard.get(rest),
                None => self.table.exact.get(host.as_str()),
            };
            // A host of which nothing is served, as that of a canary alone, has no further names.
            if let Some(routes) = routes.filter(|_| !ruled).cloned() {
                *self.host(&alias) = routes;
            }
        }
    }

    /// The other name of a host leads to it, unless a rule has that, too.
    pub(super) fn proper_hosts(&mut self) {
        for (other, host, ingress) in std::mem::take(&mut self.improper) {
            if self.table.exact.contains_key(other.as_str()) || !self.table.exact.contains_key(host.as_str()) {
                continue;
            }
            let https = Https { when: WhenHttps::Never, ..Https::default() };
            let policy = Policy { proper_host: Some(host.as_str().into()), https, ..Policy::default() };
            let backend = Arc::new(Backend::faulty(format!("redirect/{host}").into(), "the host is another"));
            let number = self.number(&ingress, &backend.name);
            let route = Route { policy: Arc::new(policy), ..Route::plain(ingress, backend, number) };
            self.host(&other).fallback = Some(Arc::new(route));
        }
    }
}
