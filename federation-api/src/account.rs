//! Service accounts of this server: whether a token's account is still there, and which tokens it issues.
//!
//! Reads the cache only; what a token says and whether its signature is good is `auth`'s.

use std::sync::Arc;

use async_trait::async_trait;
use auth::service_account::{
    BoundKind, Lookup, ServiceAccountKey, ServiceAccountLookup, ServiceAccountTokens, TokenError, TokenReference,
};

use crate::cache::{Cache, ResourceCache};
use crate::kind::storage_name;

/// Issuer of tokens, and the audience of this API.
pub const ISSUER: &str = "https://kubernetes.default.svc";

/// Asks the cache whether an account, and what its token is bound to, still exist.
struct CacheLookup {
    accounts: Arc<ResourceCache>,
    pods: Arc<ResourceCache>,
    secrets: Arc<ResourceCache>,
    nodes: Arc<ResourceCache>,
}

/// The tokens of a server over `cache`, signed with `key`.
///
/// # Errors
/// [`TokenError`] never for the constants here.
pub(crate) fn tokens(key: ServiceAccountKey, cache: &Cache) -> Result<ServiceAccountTokens, TokenError> {
    let core = |plural| cache.resource(&storage_name("", plural));
    let lookup = CacheLookup {
        accounts: core("serviceaccounts"),
        pods: core("pods"),
        secrets: core("secrets"),
        nodes: core("nodes"),
    };
    ServiceAccountTokens::new(ISSUER, vec![ISSUER.to_owned(), "fedgate".to_owned()], key, Arc::new(lookup))
}

fn has(cache: &ResourceCache, key: &str, uid: &str) -> bool {
    cache.get(key).is_some_and(|entry| entry.text(&["metadata", "uid"]).as_deref() == Some(uid))
}

#[async_trait]
impl ServiceAccountLookup for CacheLookup {
    async fn look_up(&self, reference: &TokenReference) -> Result<Lookup, String> {
        let within = |name: &str| format!("{}/{name}", reference.namespace);
        let account = has(&self.accounts, &within(&reference.name), &reference.uid);
        let bound = reference.bound.as_ref().is_none_or(|to| match to.kind {
            BoundKind::Pod => has(&self.pods, &within(&to.name), &to.uid),
            BoundKind::Secret => has(&self.secrets, &within(&to.name), &to.uid),
            BoundKind::Node => has(&self.nodes, &to.name, &to.uid),
        });
        Ok(if account && bound { Lookup::Current } else { Lookup::Gone })
    }
}
