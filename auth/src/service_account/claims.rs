//! What stands in a service account token.
//!
//! The shape only; what is believed of it is decided in `verify`.

use serde::{Deserialize, Deserializer, Serialize};

/// Whom a token speaks for, and the object that it dies with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenReference {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub bound: Option<BoundObject>,
}

/// A Pod, Secret or Node that a token is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundObject {
    pub kind: BoundKind,
    pub name: String,
    pub uid: String,
}

/// The kinds that a token can be bound to. Pods and Secrets are in the account's namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoundKind {
    Pod,
    Secret,
    Node,
}

/// The claims of a token, as upstream writes them.
///
/// Source: upstream's `pkg/serviceaccount/claims.go`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Claims {
    #[serde(deserialize_with = "one_or_many")]
    pub(super) aud: Vec<String>,
    pub(super) exp: u64,
    pub(super) iat: u64,
    pub(super) iss: String,
    pub(super) jti: String,
    #[serde(rename = "kubernetes.io")]
    pub(super) kubernetes: Kubernetes,
    pub(super) nbf: u64,
    pub(super) sub: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Kubernetes {
    pub(super) namespace: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) node: Option<Reference>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pod: Option<Reference>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) secret: Option<Reference>,
    pub(super) serviceaccount: Reference,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Reference {
    pub(super) name: String,
    #[serde(default)]
    pub(super) uid: String,
}

impl Kubernetes {
    pub(super) fn of(reference: &TokenReference) -> Self {
        let TokenReference { namespace, name, uid, bound } = reference;
        let mut claims = Self {
            namespace: namespace.clone(),
            node: None,
            pod: None,
            secret: None,
            serviceaccount: Reference { name: name.clone(), uid: uid.clone() },
        };
        if let Some(BoundObject { kind, name, uid }) = bound {
            let object = Some(Reference { name: name.clone(), uid: uid.clone() });
            match kind {
                BoundKind::Pod => claims.pod = object,
                BoundKind::Secret => claims.secret = object,
                BoundKind::Node => claims.node = object,
            }
        }
        claims
    }

    /// `None` when the token names two objects that it is bound to; a pod's node is only told, not bound to.
    pub(super) fn reference(&self) -> Option<TokenReference> {
        let Self { namespace, node, pod, secret, serviceaccount } = self;
        let bound = match (pod, secret, node) {
            (Some(pod), None, _) => Some((BoundKind::Pod, pod)),
            (None, Some(secret), None) => Some((BoundKind::Secret, secret)),
            (None, None, Some(node)) => Some((BoundKind::Node, node)),
            (None, None, None) => None,
            _ => return None,
        };
        Some(TokenReference {
            namespace: namespace.clone(),
            name: serviceaccount.name.clone(),
            uid: serviceaccount.uid.clone(),
            bound: bound.map(|(kind, object)| BoundObject { kind, name: object.name.clone(), uid: object.uid.clone() }),
        })
    }
}

/// RFC 7519 §4.1.3: one audience may stand without its array.
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Audience {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Audience::deserialize(deserializer)? {
        Audience::One(one) => vec![one],
        Audience::Many(many) => many,
    })
}
