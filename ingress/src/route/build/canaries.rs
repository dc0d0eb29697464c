//! Ingresses that only take requests of others: kept until somebody has the path that they name.

use std::sync::Arc;

use super::Builder;
use crate::route::ProblemKind;
use crate::route::canary::{Canaries, CanaryRule};
use crate::route::delivery::Delivery;
use crate::snapshot::{IngressObject, Named, PathKind, RulePath};

/// Host, kind of path and path of a rule.
pub(super) type Place<'s> = (&'s str, PathKind, &'s str);

/// A canary's path, before somebody has the route that it takes requests of.
pub(super) struct Waiting<'s> {
    rule: CanaryRule,
    delivery: Delivery,
    ingress: &'s IngressObject,
    path: &'s RulePath,
    field: String,
}

impl<'s> Builder<'s> {
    /// Keeps the paths of an Ingress that only takes requests of others.
    pub(super) fn canary(&mut self, ingress: &'s IngressObject, rule: &CanaryRule) {
        let passed =
            [("spec.tls", !ingress.tls.is_empty()), ("spec.defaultBackend", ingress.default_backend.is_some())];
        for (field, _) in passed.into_iter().filter(|(_, given)| *given) {
            let message = format!("{field}: is not followed on a canary, which only takes requests of another Ingress");
            self.problem(ingress, ProblemKind::CanaryAlone, message);
        }
        for (number, of_host) in ingress.rules.iter().enumerate() {
            for (position, path) in of_host.paths.iter().enumerate() {
                let (rule, delivery) = (rule.clone(), self.delivery.clone());
                let field = format!("spec.rules[{number}].http.paths[{position}]");
                let waiting = Waiting { rule, delivery, ingress, path, field };
                let place = (of_host.host.as_str(), path.kind, trimmed(path));
                self.canaries.entry(place).or_default().push(waiting);
            }
        }
    }

    /// The canaries of a path that the Ingress of `main` has now; they meet that one's rules, which are being read.
    ///
    /// Only those of its own namespace: a path is nobody else's to take requests of.
    pub(super) fn canaries_of(&mut self, (host, path): (&'s str, &'s RulePath), main: &Named) -> Canaries {
        let place = (host, path.kind, trimmed(path));
        let Some(waiting) = self.canaries.remove(&place) else { return Canaries::default() };
        let ours = |waiting: &Waiting<'_>| waiting.ingress.key.namespace == main.namespace;
        let (waiting, strangers): (Vec<_>, Vec<_>) = waiting.into_iter().partition(ours);
        if !strangers.is_empty() {
            self.canaries.insert(place, strangers);
        }
        let own = self.delivery.clone();
        let routes = waiting.into_iter().map(|waiting| {
            self.delivery = waiting.delivery;
            let route = self.route(waiting.ingress, &waiting.path.backend, &format!("{}.backend", waiting.field));
            (waiting.rule, Arc::new(route))
        });
        let canaries = Canaries::new(routes.collect());
        self.delivery = own;
        canaries
    }

    /// Says of canaries that there is nothing to take requests of.
    pub(super) fn lonely_canaries(&mut self) {
        for ((host, ..), waiting) in std::mem::take(&mut self.canaries) {
            for Waiting { ingress, path, field, .. } in waiting {
                let path = &path.path;
                let message = format!(
                    "{field}: no other Ingress of this namespace has {host}{path} with this pathType, so no request comes here"
                );
                self.problem(ingress, ProblemKind::CanaryAlone, message);
            }
        }
    }
}

/// A path as canaries name it: a prefix is the same with a trailing slash.
fn trimmed(path: &RulePath) -> &str {
    match path.kind {
        PathKind::Prefix => path.path.strip_suffix('/').unwrap_or(&path.path),
        PathKind::Exact | PathKind::Text => &path.path,
    }
}
