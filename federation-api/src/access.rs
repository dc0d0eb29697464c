//! May this user do that: the authorizers, over rules that are as new as the last acknowledged write.
//!
//! Rules are compiled from the cache when a request finds that a Role or Binding changed since; no task, no delay.

use std::collections::HashMap;
use std::sync::Arc;

use auth::{
    Attributes, Authorizer, AuthorizerChain, Decision, Escalation, GrantingWrite, RbacAuthorizer, RbacObject,
    RbacRules, UserInfo,
};
use parking_lot::Mutex;

use crate::cache::{Cache, ResourceCache, Scope};
use crate::error::ApiError;

const RBAC_RESOURCES: [&str; 4] = [
    "rbac.authorization.k8s.io/roles",
    "rbac.authorization.k8s.io/rolebindings",
    "rbac.authorization.k8s.io/clusterroles",
    "rbac.authorization.k8s.io/clusterrolebindings",
];

/// Authorization of one server.
pub(crate) struct Access {
    chain: AuthorizerChain,
    rbac: Arc<RbacAuthorizer>,
    sources: [Arc<ResourceCache>; 4],
    /// Guards what the rules in force were compiled from; held while compiling, never across an await.
    compiled: Mutex<Compiled>,
}

#[derive(Default)]
struct Compiled {
    /// Revision of each source; none before the first compilation.
    revs: Option<[u64; 4]>,
    /// Parsed objects by (source, key), so that a change parses only what changed.
    parsed: HashMap<(usize, Box<str>), (u64, RbacObject)>,
}

impl Access {
    pub(crate) fn new(chain: AuthorizerChain, rbac: Arc<RbacAuthorizer>, cache: &Cache) -> Self {
        let sources = RBAC_RESOURCES.map(|storage| cache.resource(storage));
        Self { chain, rbac, sources, compiled: Mutex::default() }
    }

    /// Asks the authorizers.
    ///
    /// # Errors
    /// 500 where an authorizer could not be asked.
    pub(crate) async fn decide(&self, attributes: &Attributes<'_>) -> Result<Decision, ApiError> {
        self.refresh();
        self.chain.authorize(attributes).await.map_err(|error| {
            tracing::error!(%error, "authorization failed");
            ApiError::Internal("authorization could not be decided".to_owned())
        })
    }

    /// Asks, and turns a denial into the 403 that kube-apiserver would answer.
    ///
    /// # Errors
    /// The denial.
    pub(crate) async fn require(&self, attributes: &Attributes<'_>) -> Result<(), ApiError> {
        let decision = self.decide(attributes).await?;
        if decision.is_allowed() {
            return Ok(());
        }
        Err(forbidden(attributes, decision.reason()))
    }

    /// What the user may do in a namespace, as far as the policies can be enumerated.
    pub(crate) fn rules_for(&self, user: &UserInfo, namespace: &str) -> auth::AppliedRules {
        self.refresh();
        self.chain.rules_for(user, namespace)
    }

    /// Refuses a write that would grant more than its author holds.
    ///
    /// # Errors
    /// The refusal, in upstream's words.
    pub(crate) async fn check_grant(&self, write: &GrantingWrite<'_>) -> Result<(), Escalation> {
        self.refresh();
        write.check(&self.chain, &self.rbac.rules()).await
    }

    fn revisions(&self) -> [u64; 4] {
        std::array::from_fn(|at| self.sources[at].snapshot().rev())
    }

    fn refresh(&self) {
        let mut compiled = self.compiled.lock();
        let revs = self.revisions();
        if compiled.revs == Some(revs) {
            return;
        }
        let mut parsed = HashMap::new();
        for (at, source) in self.sources.iter().enumerate() {
            for entry in source.snapshot().range(&Scope::All, "") {
                let key = (at, Box::from(entry.key()));
                match compiled.parsed.remove(&key) {
                    Some((rev, object)) if rev == entry.rev() => {
                        parsed.insert(key, (rev, object));
                    }
                    _ => match RbacObject::from_slice(entry.bytes()) {
                        Ok(object) => {
                            parsed.insert(key, (entry.rev(), object));
                        }
                        Err(error) => {
                            tracing::warn!(%error, key = entry.key(), "a role or binding takes no part");
                        }
                    },
                }
            }
        }
        self.rbac.replace(RbacRules::build(parsed.values().map(|(_, object)| object.clone())));
        *compiled = Compiled { revs: Some(revs), parsed };
    }
}

/// The 403 of a denied question, word for word.
pub(crate) fn forbidden(attributes: &Attributes<'_>, reason: &str) -> ApiError {
    let mut status = crate::error::Status::failure(403, "Forbidden", attributes.forbidden_message(reason));
    let details = match attributes.target {
        auth::Target::Resource(target) => crate::error::Details {
            name: target.name.to_owned(),
            group: target.group.to_owned(),
            kind: target.resource.to_owned(),
            ..crate::error::Details::default()
        },
        auth::Target::Path(_) => crate::error::Details::default(),
    };
    status.details = Some(details);
    ApiError::Foreign(Box::new(status))
}
