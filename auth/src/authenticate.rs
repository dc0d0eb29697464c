//! The order in which authenticators are asked, and what their answers add up to.
//!
//! Knows the rules of the union and no method of authentication.

use crate::anonymous::Anonymous;
use crate::credential::Credential;
use crate::user::UserInfo;
use async_trait::async_trait;
use jiff::Timestamp;
use std::sync::Arc;

/// What an authenticator judges.
#[derive(Clone, Copy, Debug)]
pub struct AuthenticationRequest<'a> {
    pub credential: &'a Credential,
    /// The request's path, exactly as sent, without the query.
    pub path: &'a str,
    pub now: Timestamp,
}

/// One method of authentication.
#[async_trait]
pub trait Authenticator: Send + Sync {
    /// The user, or `None` when this method has no opinion on what was presented.
    ///
    /// # Errors
    /// [`AuthenticationError`] when the credential is of this method and not good. Another method may still accept.
    async fn authenticate(
        &self,
        request: &AuthenticationRequest<'_>,
    ) -> Result<Option<Arc<UserInfo>>, AuthenticationError>;
}

/// Why nobody is authenticated: for logs, never for the answer, which is a bare `Unauthorized`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthenticationError {
    #[error("nothing was presented, and anonymous requests are not allowed here")]
    Nothing,
    #[error("invalid bearer token")]
    InvalidToken,
    #[error("invalid user name or password")]
    InvalidPassword,
    #[error("client certificate: {0}")]
    Certificate(String),
    #[error("service account token: {0}")]
    ServiceAccount(String),
    #[error("{}", list(.0))]
    Several(Vec<AuthenticationError>),
}

/// Authenticators in order; the first that accepts wins, and only when all fail the request is unauthorized.
#[derive(Default)]
pub struct AuthenticatorChain {
    authenticators: Vec<Arc<dyn Authenticator>>,
    anonymous: Option<Anonymous>,
}

impl AuthenticatorChain {
    /// A chain over `authenticators` in order; `anonymous` is asked only for requests that present nothing.
    pub fn new(authenticators: Vec<Arc<dyn Authenticator>>, anonymous: Option<Anonymous>) -> Self {
        Self { authenticators, anonymous }
    }

    /// The same chain with one more authenticator at its end.
    #[must_use]
    pub fn and(mut self, authenticator: Arc<dyn Authenticator>) -> Self {
        self.authenticators.push(authenticator);
        self
    }

    /// The user of the request, always with `system:authenticated` or `system:unauthenticated` among the groups.
    ///
    /// A bad certificate beside a good token is accepted; a token or password that nobody accepted is an error also
    /// where anonymous requests are allowed, and also where no method takes passwords.
    ///
    /// # Errors
    /// [`AuthenticationError`] when nobody is authenticated: answer 401.
    ///
    /// Source: k8s.io/apiserver `pkg/authentication/request/union`.
    pub async fn authenticate(
        &self,
        request: &AuthenticationRequest<'_>,
    ) -> Result<Arc<UserInfo>, AuthenticationError> {
        let mut errors = Vec::new();
        for authenticator in &self.authenticators {
            match authenticator.authenticate(request).await {
                Ok(Some(user)) => return Ok(with_authenticated(user)),
                Ok(None) => {}
                Err(error) => errors.push(error),
            }
        }
        if errors.len() > 1 {
            return Err(AuthenticationError::Several(errors));
        }
        if let Some(error) = errors.pop() {
            return Err(error);
        }
        if request.credential.bearer.is_some() {
            return Err(AuthenticationError::InvalidToken);
        }
        if request.credential.basic.is_some() {
            return Err(AuthenticationError::InvalidPassword);
        }
        self.anonymous.as_ref().and_then(|anonymous| anonymous.user(request.path)).ok_or(AuthenticationError::Nothing)
    }
}

fn with_authenticated(user: Arc<UserInfo>) -> Arc<UserInfo> {
    if user.states_authentication() { user } else { Arc::new(Arc::unwrap_or_clone(user).authenticated()) }
}

fn list(errors: &[AuthenticationError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::{AuthenticationError, AuthenticationRequest, Authenticator, AuthenticatorChain};
    use crate::{Anonymous, Credential, Secret, UserInfo};
    use async_trait::async_trait;
    use jiff::Timestamp;
    use std::sync::Arc;

    struct Fixed(Result<Option<Arc<UserInfo>>, AuthenticationError>);

    #[async_trait]
    impl Authenticator for Fixed {
        async fn authenticate(
            &self,
            _: &AuthenticationRequest<'_>,
        ) -> Result<Option<Arc<UserInfo>>, AuthenticationError> {
            self.0.clone()
        }
    }

    #[tokio::test]
    async fn union_rules() {
        let yes = || Fixed(Ok(Some(Arc::new(UserInfo::new("u", ["g"])))));
        let pass = || Fixed(Ok(None));
        let no = |text: &str| Fixed(Err(AuthenticationError::Certificate(text.into())));
        let token = Credential { bearer: Some(Secret::new("t")), ..Credential::default() };
        let empty = Credential::default();
        let open = || Some(Anonymous::everywhere());
        type Case<'a> = (&'a str, Vec<Fixed>, Option<Anonymous>, &'a Credential, Result<&'a str, &'a str>);
        let cases: Vec<Case<'_>> = vec![
            ("bad certificate, good token", vec![no("x"), yes()], open(), &token, Ok("u")),
            ("first wins", vec![yes(), no("x")], None, &empty, Ok("u")),
            ("nothing presented", vec![pass()], open(), &empty, Ok("system:anonymous")),
            ("a token nobody knows is not anonymous", vec![pass()], open(), &token, Err("invalid bearer token")),
            ("a bad certificate is not anonymous", vec![no("x")], open(), &empty, Err("client certificate: x")),
            (
                "all errors are kept",
                vec![no("x"), no("y")],
                open(),
                &empty,
                Err("client certificate: x; client certificate: y"),
            ),
            (
                "closed",
                vec![pass()],
                None,
                &empty,
                Err("nothing was presented, and anonymous requests are not allowed here"),
            ),
            (
                "only some paths",
                vec![],
                Some(Anonymous::on_paths(["/livez"])),
                &empty,
                Err("nothing was presented, and anonymous requests are not allowed here"),
            ),
        ];
        for (name, authenticators, anonymous, credential, want) in cases {
            let chain = AuthenticatorChain::new(
                authenticators.into_iter().map(|a| Arc::new(a) as Arc<dyn Authenticator>).collect(),
                anonymous,
            );
            let request = AuthenticationRequest { credential, path: "/api", now: Timestamp::UNIX_EPOCH };
            let got = chain.authenticate(&request).await;
            match (got, want) {
                (Ok(user), Ok(want)) => {
                    assert_eq!(user.name, want, "{name}");
                    assert!(user.states_authentication(), "{name}");
                }
                (Err(error), Err(want)) => assert_eq!(error.to_string(), want, "{name}"),
                (got, want) => panic!("{name}: {got:?}, wanted {want:?}"),
            }
        }
    }
}
