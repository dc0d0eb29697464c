//! Authorizers in the order of `--authorization-mode`, and what their answers add up to.
//!
//! Knows how opinions combine, and no policy but the trivial ones.

use crate::attributes::Attributes;
use crate::rbac::{AppliedRules, PolicyRule, RbacAuthorizer};
use crate::user::{PRIVILEGED_GROUP, UserInfo};
use async_trait::async_trait;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// An authorizer's opinion. No opinion of anybody is a denial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    Allow { reason: Reason },
    Deny { reason: Reason },
    NoOpinion { reason: Reason },
}

/// Why; may be empty. Cheap to clone, because most requests are allowed for a reason that was rendered long before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reason(Option<Arc<str>>);

/// An authorizer could not decide: the answer is 500, unless another one allows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("authorizer {authorizer}: {message}")]
pub struct AuthorizationError {
    pub authorizer: &'static str,
    pub message: String,
}

/// One policy.
#[async_trait]
pub trait Authorizer: Send + Sync {
    /// The opinion on one question.
    ///
    /// # Errors
    /// [`AuthorizationError`] when the policy cannot be asked.
    async fn authorize(&self, attributes: &Attributes<'_>) -> Result<Decision, AuthorizationError>;

    /// What the user may do in `namespace` (empty: cluster-wide only), as far as this policy can be enumerated.
    fn rules_for(&self, _user: &UserInfo, _namespace: &str) -> AppliedRules {
        AppliedRules { incomplete: true, ..AppliedRules::default() }
    }
}

/// Allows everything.
#[derive(Clone, Copy, Debug)]
pub struct AlwaysAllow;

/// Allows nothing, and leaves the word to the authorizers behind it.
#[derive(Clone, Copy, Debug)]
pub struct AlwaysDeny;

/// Allows everything to members of one group, before any policy is asked; by default `system:masters`.
#[derive(Clone, Debug)]
pub struct PrivilegedGroup(String);

/// The authorizers of a server, asked in order until one allows or denies.
#[derive(Default)]
pub struct AuthorizerChain {
    authorizers: Vec<Arc<dyn Authorizer>>,
}

/// A name in `--authorization-mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    AlwaysAllow,
    AlwaysDeny,
    Rbac,
}

/// A mode that is misspelt, or that this server does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("authorization mode {0:?} is not supported: choose from RBAC, AlwaysAllow, AlwaysDeny")]
pub struct UnknownMode(String);

impl Decision {
    /// Whether the request may go on.
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allow { .. })
    }

    /// Why; may be empty.
    pub fn reason(&self) -> &str {
        match self {
            Self::Allow { reason } | Self::Deny { reason } | Self::NoOpinion { reason } => reason.as_str(),
        }
    }
}

impl Reason {
    /// The text; empty when there is none.
    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or("")
    }
}

impl From<&str> for Reason {
    fn from(text: &str) -> Self {
        Self((!text.is_empty()).then(|| text.into()))
    }
}

impl From<String> for Reason {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[async_trait]
impl Authorizer for AlwaysAllow {
    async fn authorize(&self, _: &Attributes<'_>) -> Result<Decision, AuthorizationError> {
        Ok(Decision::Allow { reason: Reason::default() })
    }

    fn rules_for(&self, _: &UserInfo, _: &str) -> AppliedRules {
        AppliedRules { rules: PolicyRule::full_authority().into(), ..AppliedRules::default() }
    }
}

#[async_trait]
impl Authorizer for AlwaysDeny {
    async fn authorize(&self, _: &Attributes<'_>) -> Result<Decision, AuthorizationError> {
        Ok(Decision::NoOpinion { reason: "Everything is forbidden.".into() })
    }

    fn rules_for(&self, _: &UserInfo, _: &str) -> AppliedRules {
        AppliedRules::default()
    }
}

impl PrivilegedGroup {
    /// `system:masters`, as kube-apiserver has it.
    pub fn masters() -> Self {
        Self(PRIVILEGED_GROUP.to_owned())
    }
}

#[async_trait]
impl Authorizer for PrivilegedGroup {
    async fn authorize(&self, attributes: &Attributes<'_>) -> Result<Decision, AuthorizationError> {
        let reason = Reason::default();
        Ok(if attributes.user.is_in(&self.0) { Decision::Allow { reason } } else { Decision::NoOpinion { reason } })
    }

    fn rules_for(&self, _: &UserInfo, _: &str) -> AppliedRules {
        AppliedRules::default()
    }
}

impl AuthorizerChain {
    /// A chain over `authorizers` in order.
    pub fn new(authorizers: Vec<Arc<dyn Authorizer>>) -> Self {
        Self { authorizers }
    }

    /// The chain of `--authorization-mode`, with the privileged group in front as kube-apiserver has it.
    pub fn of_modes(modes: &[Mode], rbac: &Arc<RbacAuthorizer>) -> Self {
        let mut authorizers: Vec<Arc<dyn Authorizer>> = vec![Arc::new(PrivilegedGroup::masters())];
        authorizers.extend(modes.iter().map(|mode| -> Arc<dyn Authorizer> {
            match mode {
                Mode::AlwaysAllow => Arc::new(AlwaysAllow),
                Mode::AlwaysDeny => Arc::new(AlwaysDeny),
                Mode::Rbac => rbac.clone(),
            }
        }));
        Self { authorizers }
    }
}

#[async_trait]
impl Authorizer for AuthorizerChain {
    /// The first allow or deny; else no opinion with all reasons.
    ///
    /// # Errors
    /// [`AuthorizationError`] when an authorizer failed and none behind it allowed: answer 500, not 403.
    ///
    /// Source: k8s.io/apiserver `pkg/authorization/union`, `pkg/endpoints/filters/authorization.go`.
    async fn authorize(&self, attributes: &Attributes<'_>) -> Result<Decision, AuthorizationError> {
        let mut failure = None;
        let mut reasons = Vec::new();
        for authorizer in &self.authorizers {
            match authorizer.authorize(attributes).await {
                Ok(allow @ Decision::Allow { .. }) => return Ok(allow),
                Ok(deny @ Decision::Deny { .. }) => return failure.map_or(Ok(deny), Err),
                Ok(Decision::NoOpinion { reason }) if reason.as_str().is_empty() => {}
                Ok(Decision::NoOpinion { reason }) => reasons.push(reason),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        if let Some(error) = failure {
            return Err(error);
        }
        let reason = match reasons.as_slice() {
            [] => Reason::default(),
            [one] => one.clone(),
            many => many.iter().map(Reason::as_str).collect::<Vec<_>>().join("\n").into(),
        };
        Ok(Decision::NoOpinion { reason })
    }

    fn rules_for(&self, user: &UserInfo, namespace: &str) -> AppliedRules {
        let mut all = AppliedRules::default();
        for authorizer in &self.authorizers {
            let AppliedRules { rules, incomplete, errors } = authorizer.rules_for(user, namespace);
            all.rules.extend(rules);
            all.incomplete |= incomplete;
            all.errors.extend(errors);
        }
        all
    }
}

impl FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(text: &str) -> Result<Self, UnknownMode> {
        match text {
            "AlwaysAllow" => Ok(Self::AlwaysAllow),
            "AlwaysDeny" => Ok(Self::AlwaysDeny),
            "RBAC" => Ok(Self::Rbac),
            other => Err(UnknownMode(other.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{AlwaysAllow, AlwaysDeny, AuthorizationError, Authorizer, AuthorizerChain, Decision, Mode};
    use crate::{Attributes, RbacAuthorizer, RbacRules, UserInfo};
    use async_trait::async_trait;
    use std::sync::Arc;

    struct Broken;
    struct Denies;

    #[async_trait]
    impl Authorizer for Broken {
        async fn authorize(&self, _: &Attributes<'_>) -> Result<Decision, AuthorizationError> {
            Err(AuthorizationError { authorizer: "webhook", message: "down".into() })
        }
    }

    #[async_trait]
    impl Authorizer for Denies {
        async fn authorize(&self, _: &Attributes<'_>) -> Result<Decision, AuthorizationError> {
            Ok(Decision::Deny { reason: "no".into() })
        }
    }

    #[tokio::test]
    async fn union_rules() {
        let deny = || Arc::new(AlwaysDeny) as Arc<dyn Authorizer>;
        let allow = || Arc::new(AlwaysAllow) as Arc<dyn Authorizer>;
        let broken = || Arc::new(Broken) as Arc<dyn Authorizer>;
        let denies = || Arc::new(Denies) as Arc<dyn Authorizer>;
        let no_opinion = |reason: &str| Ok(Decision::NoOpinion { reason: reason.into() });
        let allowed = || Ok(Decision::Allow { reason: "".into() });
        let down = || Err(AuthorizationError { authorizer: "webhook", message: "down".into() });
        type Case = (&'static str, Vec<Arc<dyn Authorizer>>, Result<Decision, AuthorizationError>);
        let cases: [Case; 7] = [
            ("empty denies", vec![], no_opinion("")),
            ("AlwaysDeny leaves the word", vec![deny(), allow()], allowed()),
            ("reasons add up", vec![deny(), deny()], no_opinion("Everything is forbidden.\nEverything is forbidden.")),
            ("deny stops", vec![denies(), allow()], Ok(Decision::Deny { reason: "no".into() })),
            ("allow heals an error", vec![broken(), allow()], allowed()),
            ("an error is no denial", vec![broken(), deny()], down()),
            ("an error before a denial stays", vec![broken(), denies()], down()),
        ];
        let user = UserInfo::anonymous();
        for (name, authorizers, want) in cases {
            let got = AuthorizerChain::new(authorizers).authorize(&Attributes::path(&user, "get", "/")).await;
            assert_eq!(got, want, "{name}");
        }
    }

    #[tokio::test]
    async fn masters_pass_and_the_name_alone_does_not() {
        let rbac = Arc::new(RbacAuthorizer::new(RbacRules::default()));
        let chain = AuthorizerChain::of_modes(&[Mode::Rbac], &rbac);
        for (user, allowed) in [
            (UserInfo::new("a", ["system:masters"]), true),
            (UserInfo::new("system:masters", ["g"]), false),
            (UserInfo::new("a", ["system:masters "]), false),
        ] {
            let decision = chain.authorize(&Attributes::path(&user, "get", "/")).await.unwrap();
            assert_eq!(decision.is_allowed(), allowed, "{user:?}");
        }
    }

    #[test]
    fn modes_are_named_as_upstream_does_and_others_are_refused() {
        assert_eq!("RBAC".parse(), Ok(Mode::Rbac));
        assert_eq!("AlwaysAllow".parse(), Ok(Mode::AlwaysAllow));
        for unknown in ["rbac", "Node", "ABAC", "Webhook", ""] {
            assert!(unknown.parse::<Mode>().is_err(), "{unknown}");
        }
    }
}
