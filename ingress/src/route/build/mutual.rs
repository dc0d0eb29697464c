//! Which hosts ask clients for certificates, whose word that is, and whom they believe.

use std::collections::HashMap;
use std::sync::Arc;

use super::Builder;
use crate::annotation::{MutualWish, Reading};
use crate::route::mutual::Mutual;
use crate::route::{ProblemKind, RouteTable};
use crate::snapshot::{IngressObject, Named, Snapshot};

/// What is wrong with a Secret, in words.
type Fault = (ProblemKind, String);

/// The rules of each host, and whose they are.
#[derive(Default)]
pub(super) struct MutualHosts<'s> {
    of: HashMap<&'s str, (&'s IngressObject, Arc<Mutual>)>,
    known: HashMap<(Arc<str>, MutualWish), Arc<Mutual>>,
}

/// The hosts of an Ingress; the empty one stands for all others.
fn hosts(ingress: &IngressObject) -> impl Iterator<Item = &str> {
    let rest = (ingress.rules.is_empty() && ingress.default_backend.is_some()).then_some("");
    ingress.rules.iter().map(|rule| rule.host.as_str()).chain(rest)
}

impl<'s> MutualHosts<'s> {
    /// Reads who asks for what, the oldest first: on a host the oldest that asks decides, if the host is its namespace's.
    pub(super) fn read(
        read: &[(&'s IngressObject, Reading)],
        snapshot: &Snapshot,
        before: Option<&RouteTable>,
    ) -> (Self, Vec<(&'s IngressObject, Fault)>) {
        let (mut all, mut wrong) = (Self::default(), Vec::new());
        if read.iter().all(|(_, reading)| reading.mutual.is_none()) {
            return (all, wrong);
        }
        let mut owners = HashMap::new();
        for (ingress, host) in read.iter().flat_map(|(ingress, _)| hosts(ingress).map(move |host| (*ingress, host))) {
            owners.entry(host).or_insert(&ingress.key.namespace);
        }
        for (ingress, reading) in read {
            let Some(wish) = &reading.mutual else { continue };
            let (rules, fault) = all.rules(ingress, wish, snapshot, before);
            wrong.extend(fault.map(|fault| (*ingress, fault)));
            for host in hosts(ingress).filter(|host| owners.get(host) == Some(&&ingress.key.namespace)) {
                all.of.entry(host).or_insert_with(|| (ingress, Arc::clone(&rules)));
            }
        }
        (all, wrong)
    }

    /// The rules of a host.
    pub(super) fn of(&self, host: &str) -> Option<Arc<Mutual>> {
        self.of.get(host).map(|(_, rules)| Arc::clone(rules))
    }

    /// Everything that the next build may use again.
    pub(super) fn known(self) -> HashMap<(Arc<str>, MutualWish), Arc<Mutual>> {
        self.known
    }

    /// The same as before while the Secret stays the same, so that sessions go on.
    fn rules(
        &mut self,
        ingress: &IngressObject,
        wish: &MutualWish,
        snapshot: &Snapshot,
        before: Option<&RouteTable>,
    ) -> (Arc<Mutual>, Option<Fault>) {
        let secret = wish.secret.as_deref();
        let key = secret.map(|name| Named { namespace: ingress.key.namespace.clone(), name: name.into() });
        let source = key.as_ref().and_then(|key| snapshot.user_lists.get(key));
        let place = (ingress.key.namespace.clone(), wish.clone());
        let known = self.known.get(&place).or_else(|| before?.mutuals.get(&place)).filter(|known| known.is_of(source));
        let rules = known.cloned().unwrap_or_else(|| Arc::new(Mutual::new(wish.clone(), source.cloned())));
        self.known.insert(place, Arc::clone(&rules));
        let told = key.zip(rules.fault()).map(|(key, error)| {
            let kind = if source.is_some() { ProblemKind::SecretInvalid } else { ProblemKind::SecretMissing };
            let message = format!("Secret {key}: {error}; nobody is let in on its hosts");
            (kind, format!("metadata.annotations[auth-tls-secret]: {message}"))
        });
        (rules, told)
    }
}

impl Builder<'_> {
    /// Says of an Ingress where others decide what is asked of clients; whether it is to be closed for that.
    pub(super) fn mutual(&mut self, ingress: &IngressObject, wish: Option<&MutualWish>) -> bool {
        let Some(wish) = wish else { return false };
        let mut foreign = false;
        for host in hosts(ingress) {
            let message = match self.mutuals.of.get(host) {
                Some((by, _)) if by.key == ingress.key => continue,
                Some((by, rules)) if by.key.namespace == ingress.key.namespace => {
                    if rules.is_wished(wish) {
                        continue;
                    }
                    format!("the older Ingress {} already says what is asked of clients on {host:?}", by.key)
                }
                _ => {
                    foreign = true;
                    format!(
                        "{host:?} belongs to another namespace, which says what is asked of clients; its paths are closed"
                    )
                }
            };
            let message = format!("metadata.annotations[auth-tls-secret]: {message}");
            self.problem(ingress, ProblemKind::HostTaken, message);
        }
        foreign
    }
}
