//! The identity of requests that present nothing, and the paths where that is enough.
//!
//! Must not be asked when a credential was presented: a bad one is never downgraded.

use crate::user::UserInfo;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Answers for requests without a credential.
#[derive(Clone, Debug)]
pub struct Anonymous {
    user: Arc<UserInfo>,
    /// `None`: everywhere; authorization decides the rest.
    paths: Option<BTreeSet<String>>,
}

impl Anonymous {
    /// Anonymous on every path.
    pub fn everywhere() -> Self {
        Self { user: Arc::new(UserInfo::anonymous()), paths: None }
    }

    /// Anonymous only where the request's path is exactly one of `paths`.
    pub fn on_paths<P: Into<String>>(paths: impl IntoIterator<Item = P>) -> Self {
        Self { user: Arc::new(UserInfo::anonymous()), paths: Some(paths.into_iter().map(Into::into).collect()) }
    }

    /// The anonymous user, if `path` is open to it.
    pub fn user(&self, path: &str) -> Option<Arc<UserInfo>> {
        let open = self.paths.as_ref().is_none_or(|paths| paths.contains(path));
        open.then(|| self.user.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::Anonymous;

    #[test]
    fn paths_are_exact() {
        let anonymous = Anonymous::on_paths(["/livez", "/readyz"]);
        for (path, open) in [
            ("/livez", true),
            ("/livez/", false),
            ("/livez/ping", false),
            ("/LIVEZ", false),
            ("//livez", false),
            ("/", false),
        ] {
            assert_eq!(anonymous.user(path).is_some(), open, "{path}");
        }
        assert!(Anonymous::everywhere().user("/anything").is_some());
    }
}
