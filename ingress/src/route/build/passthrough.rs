//! Hosts whose TLS is not ended here: which Ingress may say so, and where their bytes go.

use std::sync::Arc;

use crate::route::build::{Builder, host_is_sound};
use crate::route::wire::WireSpec;
use crate::route::{ProblemKind, Route};
use crate::snapshot::IngressObject;

impl Builder<'_> {
    /// Sends the bytes for the hosts of `ingress` to the backend of `/`, or else of the first path.
    ///
    /// Called before the Ingress's own paths are added: what is there already belongs to older ones.
    pub(super) fn passthrough(&mut self, ingress: &IngressObject) {
        if !self.policy.passthrough {
            return;
        }
        let asks = ingress.rules.iter().any(|rule| self.mutuals.of(&rule.host).is_some());
        let guards = self.policy.closed.is_some() || self.policy.users.is_some() || self.policy.bearer.is_some();
        if guards || self.extauth.is_some() || asks {
            // What is passed through is looked at by nobody: such a host is served as what it is otherwise.
            let message =
                "metadata.annotations[ssl-passthrough]: together with what keeps somebody out, TLS is ended here";
            return self.problem(ingress, ProblemKind::Annotation, message.to_owned());
        }
        for (number, rule) in ingress.rules.iter().enumerate().filter(|(_, rule)| host_is_sound(&rule.host)) {
            let host = rule.host.as_str();
            let root = rule.paths.iter().position(|path| path.path == "/").unwrap_or(0);
            let Some(path) = rule.paths.get(root) else { continue };
            let field = format!("spec.rules[{number}]");
            if host.is_empty() {
                let message = format!("{field}: TLS is passed through by host name, and this rule has none");
                self.problem(ingress, ProblemKind::HostInvalid, message);
                continue;
            }
            let claimed = match host.strip_prefix("*.") {
                Some(rest) => self.table.wildcard.contains_key(rest),
                None => self.table.exact.contains_key(host),
            };
            if claimed {
                let message = format!("{field}.host: {host} is served by an older Ingress, so its TLS is ended here");
                self.problem(ingress, ProblemKind::HostTaken, message);
                continue;
            }
            let route = self.route(ingress, &path.backend, &format!("{field}.http.paths[{root}].backend"));
            let announce = route.wiring.announce();
            let wiring = self.wire(&WireSpec { announce, ..WireSpec::default() }).into();
            self.table.passthrough.insert(host, Arc::new(Route { wiring, ..route }));
        }
    }
}
