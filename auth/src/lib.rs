//! Who are you, and may you: every decision about identity and rights, and no state of its own.
//!
//! A request's [`Credential`] goes through the [`AuthenticatorChain`] and becomes a [`UserInfo`]; the user, the verb and
//! the object become [`Attributes`], which the [`AuthorizerChain`] allows, denies or has no opinion on.
//! Whoever composes the server feeds stored Roles and Bindings in ([`RbacAuthorizer::replace`]) and answers whether a
//! service account still exists; nothing here reads the store, the clock or the network.
//! Invariants: no secret appears in a `Debug` or an error text; a credential that was presented and not accepted is an
//! error, never anonymous; time is passed in.

mod anonymous;
mod attributes;
mod authenticate;
mod authorize;
pub mod bootstrap;
mod credential;
mod escalation;
mod impersonation;
pub mod jwt;
mod persist;
mod rbac;
pub mod service_account;
mod token_file;
mod user;
pub mod x509;

pub use anonymous::Anonymous;
pub use attributes::{Attributes, ResourceAttributes, Target};
pub use authenticate::{AuthenticationError, AuthenticationRequest, Authenticator, AuthenticatorChain};
pub use authorize::{
    AlwaysAllow, AlwaysDeny, AuthorizationError, Authorizer, AuthorizerChain, Decision, Mode, PrivilegedGroup, Reason,
    UnknownMode,
};
pub use credential::{Basic, Credential, CredentialError, Secret, websocket_bearer};
pub use escalation::{Escalation, GrantingWrite};
pub use impersonation::{Impersonation, ImpersonationCheck, ImpersonationError};
pub use rbac::{
    AppliedRules, PolicyRule, RbacAuthorizer, RbacObject, RbacRules, RejectedObject, RoleRef, Subject,
    aggregated_rules, covers, missing_rights,
};
pub use token_file::{TokenFile, TokenFileError};
pub use user::{
    ALL_AUTHENTICATED, ALL_SERVICE_ACCOUNTS, ALL_UNAUTHENTICATED, ANONYMOUS_USER, CREDENTIAL_ID, PRIVILEGED_GROUP,
    SERVICE_ACCOUNT_PREFIX, ServiceAccountName, UserInfo,
};
