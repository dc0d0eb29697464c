//! Names of hosts that no rule has: aliases, and `www.` where the bare name has routes, or the other way round.

use std::sync::Arc;

use super::Builder;
use crate::route::backend::Backend;
use crate::route::canary::Canaries;
use crate::route::policy::{Https, Policy, WhenHttps};
use crate::route::wire::Wire;
use crate::route::{Delivery, Route};

impl Builder<'_> {
    /// A name that a rule has is that rule's, whoever claims it as an alias; of several claims the oldest counts.
    pub(super) fn name_aliases(&mut self) {
        for (alias, host) in std::mem::take(&mut self.aliases) {
            let ruled = match alias.strip_prefix("*.") {
                Some(rest) => self.table.wildcard.contains_key(rest),
                None => self.table.exact.contains_key(alias.as_str()),
            };
            if !ruled {
                let routes = self.host(&host).clone();
                *self.host(&alias) = routes;
            }
        }
    }

    /// The other name of a host leads to it, unless a rule has that, too.
    pub(super) fn proper_hosts(&mut self) {
        for (other, host, ingress) in std::mem::take(&mut self.improper) {
            if self.table.exact.contains_key(other.as_str()) {
                continue;
            }
            let https = Https { when: WhenHttps::Never, ..Https::default() };
            let policy = Policy { proper_host: Some(host.as_str().into()), https, ..Policy::default() };
            let backend = Arc::new(Backend::faulty(format!("redirect/{host}").into(), "the host is another"));
            let number = self.number(&ingress, &backend.name);
            let route = Route {
                ingress,
                backend,
                delivery: Delivery::default(),
                wiring: Wire::plain().into(),
                policy: Arc::new(policy),
                canaries: Canaries::default(),
                extauth: None,
                pages: None,
                number,
            };
            self.host(&other).fallback = Some(Arc::new(route));
        }
    }
}
