//! Whose tokens an Ingress lets in, by the keys in the Secret that it names.

use std::sync::Arc;

use auth::jwt::{KeySet, Verifier};

use super::Builder;
use crate::annotation::BearerWish;
use crate::route::ProblemKind;
use crate::route::bearer::Bearer;
use crate::snapshot::{IngressObject, Named};

impl Builder<'_> {
    /// The rules about tokens; `None` where the Secret has no keys.
    pub(super) fn bearer(&mut self, ingress: &IngressObject, wish: BearerWish) -> Option<Arc<Bearer>> {
        let key = Named { namespace: ingress.key.namespace.clone(), name: wish.secret.as_str().into() };
        let set = self.snapshot.user_lists.get(&key).and_then(|list| list.0.get("jwks.json"));
        let (kind, told) = match set.map(|set| KeySet::read(set)) {
            Some(Ok(keys)) => {
                let BearerWish { issuer, audiences, leeway, headers, .. } = wish;
                let verifier = Verifier { issuer, audiences, keys, leeway };
                return Some(Arc::new(Bearer { secret: key, verifier, headers }));
            }
            Some(Err(error)) => (ProblemKind::SecretInvalid, format!("jwks.json of Secret {key}: {error}")),
            None => (ProblemKind::SecretMissing, format!("there is no Secret {key} with jwks.json")),
        };
        self.problem(ingress, kind, format!("metadata.annotations[auth-jwt-secret]: {told}; nobody is let in"));
        None
    }
}
