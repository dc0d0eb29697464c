//! Which Secrets the ingress may read: those that Ingresses of our class name for TLS, one by one.
//!
//! For the API's side, as the Node authorizer is for pods; allows reading, never more, and nothing in the system namespace.

use std::collections::BTreeSet;
use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use auth::{AppliedRules, Attributes, AuthorizationError, Authorizer, Decision, Target, UserInfo};
use federation_types::{Gvr, label};
use hub_client::{Collection, Hub, Reflector};
use tokio_util::sync::CancellationToken;

use crate::snapshot::{IngressClass, IngressObject, Named, Snapshot};

/// Allows the ingress' own account to read the Secrets that are named at this moment.
pub struct NamedSecrets {
    user: String,
    named: ArcSwap<BTreeSet<Named>>,
    /// Named by the operator, not by an Ingress, so wherever it is.
    always: Option<Named>,
}

impl Default for NamedSecrets {
    fn default() -> Self {
        Self::new(None)
    }
}

impl NamedSecrets {
    /// Allows `always`, and what Ingresses name once that is known.
    #[must_use]
    pub fn new(always: Option<Named>) -> Self {
        Self { user: label::component_user("ingress"), named: ArcSwap::default(), always }
    }

    /// Keeps the names current until `stop`; before it runs nothing is allowed.
    pub async fn follow(self: Arc<Self>, hub: Hub, stop: CancellationToken) {
        let all = |resource| Collection::all(Gvr::new("networking.k8s.io/v1", resource));
        let ingresses = Reflector::new(hub.clone(), all("ingresses"), |object| Some(IngressObject::read(&object)));
        let classes = Reflector::new(hub, all("ingressclasses"), |object| Some(IngressClass::read(&object)));
        let (current, kinds) = (ingresses.reflection(), classes.reflection());
        let (mut moved, mut changed) = (current.changes(), kinds.changes());
        let update = async {
            loop {
                let snapshot = Snapshot {
                    ingresses: current.all().into_iter().map(|(_, ingress)| ingress).collect(),
                    classes: kinds.all().into_iter().map(|(_, class)| (*class).clone()).collect(),
                    ..Snapshot::default()
                };
                self.set(snapshot.wanted_secrets());
                let more = tokio::select! {
                    more = moved.changed() => more,
                    more = changed.changed() => more,
                };
                if more.is_err() {
                    return;
                }
            }
        };
        tokio::join!(ingresses.run(stop.clone()), classes.run(stop), update);
    }

    fn set(&self, named: BTreeSet<Named>) {
        if **self.named.load() != named {
            self.named.store(Arc::new(named));
        }
    }
}

#[async_trait]
impl Authorizer for NamedSecrets {
    async fn authorize(&self, attributes: &Attributes<'_>) -> Result<Decision, AuthorizationError> {
        let no_opinion = Ok(Decision::NoOpinion { reason: "".into() });
        let Target::Resource(target) = attributes.target else { return no_opinion };
        let reads = matches!(attributes.verb, "get" | "list" | "watch");
        let secret = target.group.is_empty() && target.resource == "secrets" && target.subresource.is_empty();
        if !reads || !secret || attributes.user.name != self.user {
            return no_opinion;
        }
        let asked = Named::new(target.namespace, target.name);
        if self.always.as_ref() == Some(&asked) {
            return Ok(Decision::Allow { reason: "it is the default certificate".into() });
        }
        if target.namespace != label::SYSTEM_NAMESPACE && self.named.load().contains(&asked) {
            return Ok(Decision::Allow { reason: "an Ingress names this Secret".into() });
        }
        no_opinion
    }

    /// Nobody else is allowed anything, and what is named changes too often to be told.
    fn rules_for(&self, user: &UserInfo, _: &str) -> AppliedRules {
        AppliedRules { incomplete: user.name == self.user, ..AppliedRules::default() }
    }
}

#[cfg(test)]
mod tests {
    use auth::{Attributes, Authorizer, ResourceAttributes, UserInfo};

    use super::NamedSecrets;
    use crate::snapshot::Named;

    #[tokio::test]
    async fn only_the_ingress_reads_only_what_is_named() {
        let secrets = NamedSecrets::default();
        let ours = UserInfo::service_account("fedgate-system", "ingress", "u");
        let other = UserInfo::service_account("default", "ingress", "u");
        let named = [Named::new("n", "tls"), Named::new("fedgate-system", "credentials")];
        let asked =
            |resource, name| ResourceAttributes { version: "v1", resource, namespace: "n", name, ..Default::default() };
        assert!(!allowed(&secrets, &ours, "get", asked("secrets", "tls")).await, "before anything is known");
        assert!(!secrets.rules_for(&other, "n").incomplete, "a list of what others may do lacks nothing of ours");
        secrets.set(named.into());
        for verb in ["get", "list", "watch"] {
            assert!(allowed(&secrets, &ours, verb, asked("secrets", "tls")).await, "{verb}");
        }
        let elsewhere = ResourceAttributes { namespace: "m", ..asked("secrets", "tls") };
        let system = ResourceAttributes { namespace: "fedgate-system", ..asked("secrets", "credentials") };
        let grouped = ResourceAttributes { group: "x", ..asked("secrets", "tls") };
        for (user, verb, target) in [
            (&other, "get", asked("secrets", "tls")),
            (&ours, "update", asked("secrets", "tls")),
            (&ours, "list", asked("secrets", "")),
            (&ours, "get", asked("secrets", "other")),
            (&ours, "get", asked("configmaps", "tls")),
            (&ours, "get", elsewhere),
            (&ours, "get", system),
            (&ours, "get", grouped),
        ] {
            assert!(!allowed(&secrets, user, verb, target).await, "{} {verb} {target:?}", user.name);
        }
    }

    #[tokio::test]
    async fn the_default_certificate_is_read_wherever_it_is() {
        let secrets = NamedSecrets::new(Some(Named::new("fedgate-system", "default-tls")));
        let ours = UserInfo::service_account("fedgate-system", "ingress", "u");
        let asked = |name| ResourceAttributes {
            version: "v1",
            resource: "secrets",
            namespace: "fedgate-system",
            name,
            ..Default::default()
        };
        assert!(allowed(&secrets, &ours, "watch", asked("default-tls")).await);
        assert!(!allowed(&secrets, &ours, "watch", asked("credentials")).await);
        assert!(!allowed(&secrets, &ours, "update", asked("default-tls")).await);
    }

    async fn allowed(secrets: &NamedSecrets, user: &UserInfo, verb: &str, target: ResourceAttributes<'_>) -> bool {
        secrets.authorize(&Attributes::resource(user, verb, target)).await.expect("decides").is_allowed()
    }
}
