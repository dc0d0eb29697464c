//! The identity that every later decision is about.
//!
//! Knows the reserved names of users and groups, and not how anybody proved to be one.

use federation_types::name::is_label;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// The user of a request that carries no credential.
pub const ANONYMOUS_USER: &str = "system:anonymous";
/// Everybody who has proved an identity.
pub const ALL_AUTHENTICATED: &str = "system:authenticated";
/// Everybody who has not.
pub const ALL_UNAUTHENTICATED: &str = "system:unauthenticated";
/// The group that may do everything, before any authorizer is asked.
pub const PRIVILEGED_GROUP: &str = "system:masters";
/// All service accounts of all namespaces; those of one namespace have `:NAMESPACE` behind it.
pub const ALL_SERVICE_ACCOUNTS: &str = "system:serviceaccounts";
/// A service account's user name is this and `NAMESPACE:NAME`.
pub const SERVICE_ACCOUNT_PREFIX: &str = "system:serviceaccount:";
/// The key in [`UserInfo::extra`] that names the credential without revealing it.
pub const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";

/// Who makes a request. Serializes as `authentication.k8s.io/v1` UserInfo.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct UserInfo {
    #[serde(rename = "username", default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extra: BTreeMap<String, Vec<String>>,
}

/// Namespace and name of a service account, parsed from or rendered to its user name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceAccountName {
    pub namespace: String,
    pub name: String,
}

impl UserInfo {
    /// A user with these groups, no uid and no extra.
    pub fn new<G: Into<String>>(name: impl Into<String>, groups: impl IntoIterator<Item = G>) -> Self {
        Self { name: name.into(), groups: groups.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// The identity of requests without credentials.
    pub fn anonymous() -> Self {
        Self::new(ANONYMOUS_USER, [ALL_UNAUTHENTICATED])
    }

    /// The identity of a service account, with the groups that are fixed for it.
    pub fn service_account(namespace: &str, name: &str, uid: &str) -> Self {
        let account = ServiceAccountName::new(namespace, name);
        let mut user = Self::new(account.to_string(), account.groups());
        user.uid = uid.to_owned();
        user.authenticated()
    }

    /// Whether the user belongs to `group`.
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|own| own == group)
    }

    /// Adds `system:authenticated`, unless the groups already say whether the user is.
    #[must_use]
    pub fn authenticated(mut self) -> Self {
        if !self.states_authentication() {
            self.groups.push(ALL_AUTHENTICATED.to_owned());
        }
        self
    }

    /// Whether the groups already say if this user has proved an identity.
    pub(crate) fn states_authentication(&self) -> bool {
        self.is_in(ALL_AUTHENTICATED) || self.is_in(ALL_UNAUTHENTICATED)
    }
}

impl ServiceAccountName {
    /// The name from its two parts, which the caller has validated or does not need to.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// Parses `system:serviceaccount:NAMESPACE:NAME`; `None` when it is another kind of user, or a part is not a
    /// valid Kubernetes name.
    pub fn parse(user: &str) -> Option<Self> {
        let (namespace, name) = user.strip_prefix(SERVICE_ACCOUNT_PREFIX)?.split_once(':')?;
        (is_label(namespace) && is_subdomain(name)).then(|| Self::new(namespace, name))
    }

    /// The groups that every service account of this namespace is in.
    pub fn groups(&self) -> [String; 2] {
        [ALL_SERVICE_ACCOUNTS.to_owned(), format!("{ALL_SERVICE_ACCOUNTS}:{}", self.namespace)]
    }
}

impl fmt::Display for ServiceAccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SERVICE_ACCOUNT_PREFIX}{}:{}", self.namespace, self.name)
    }
}

fn is_subdomain(text: &str) -> bool {
    /// Upstream bounds the whole name and not its labels.
    const MAX_BYTES: usize = 253;
    text.len() <= MAX_BYTES
        && text.split('.').all(|label| {
            let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            !label.is_empty() && label.bytes().all(inner) && !label.starts_with('-') && !label.ends_with('-')
        })
}

#[cfg(test)]
mod tests {
    use super::{ServiceAccountName, UserInfo};

    #[test]
    fn service_account_names_round_trip_and_refuse_junk() {
        let name = ServiceAccountName::parse("system:serviceaccount:shop:web.v1").unwrap();
        assert_eq!(name, ServiceAccountName::new("shop", "web.v1"));
        assert_eq!(name.to_string(), "system:serviceaccount:shop:web.v1");
        for junk in [
            "alice",
            "system:serviceaccount:shop",
            "system:serviceaccount::web",
            "system:serviceaccount:shop:",
            "system:serviceaccount:a:b:c",
            "system:serviceaccount:Shop:web",
            "system:serviceaccount:shop:we/b",
            "system:serviceaccount:a.b:web",
        ] {
            assert_eq!(ServiceAccountName::parse(junk), None, "{junk}");
        }
    }

    #[test]
    fn authenticated_is_added_once() {
        let user = UserInfo::new("a", ["g"]).authenticated().authenticated();
        assert_eq!(user.groups, ["g", "system:authenticated"]);
        assert_eq!(UserInfo::anonymous().authenticated().groups, ["system:unauthenticated"]);
    }

    #[test]
    fn serializes_as_upstream_names_it() {
        let user = UserInfo::service_account("shop", "web", "7");
        let json = serde_json::to_value(&user).unwrap();
        assert_eq!(json["username"], "system:serviceaccount:shop:web");
        assert_eq!(
            json["groups"],
            serde_json::json!(["system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated"])
        );
    }
}
