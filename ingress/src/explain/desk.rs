//! Explanations for those who may have them: whoever may read the Ingress that a request goes by; what comes of a password
//! or token is for who may read the Secret, too.
//!
//! The hub says who somebody is and what they may; must not know how the question came.

use std::collections::BTreeSet;
use std::sync::Arc;

use arc_swap::ArcSwap;
use hub_client::{ApiError, Hub};
use serde_json::{Value, json};

use super::{Insight, Question, Sight, Step, explain, judge, taken};
use crate::route::RouteTable;
use crate::snapshot::Named;

const TOKEN_REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
const ACCESS_REVIEWS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
const INGRESSES: (&str, &str) = ("networking.k8s.io", "ingresses");
const SECRETS: (&str, &str) = ("", "secrets");

/// Answers questions with the routes that are being served.
pub struct Desk {
    hub: Hub,
    routes: Arc<ArcSwap<RouteTable>>,
    insight: Insight,
}

/// Why there is no explanation.
#[derive(Debug, thiserror::Error)]
pub enum Denied {
    #[error("the hub does not know who has this token")]
    Unknown,
    /// Says neither which Ingress that is nor whether there is one.
    #[error("{user} may not get the Ingress of this request, or it goes by none and {user} may not get all of them")]
    Forbidden { user: String },
    #[error("the hub does not say who may ask: {0}")]
    Hub(#[from] ApiError),
}

impl Desk {
    /// A desk whose visitors are judged by `hub`.
    #[must_use]
    pub fn new(hub: Hub, routes: Arc<ArcSwap<RouteTable>>, insight: Insight) -> Self {
        Self { hub, routes, insight }
    }

    /// What becomes of a request, for whoever has the token.
    ///
    /// # Errors
    /// [`Denied`]
    pub async fn explain(&self, token: &str, question: Question) -> Result<Vec<Step>, Denied> {
        let user = self.user(token).await?;
        // The same routes for the judgement and for the answer.
        let table = self.routes.load_full();
        let route = taken(&table, &question);
        // All of them, where a request goes by none.
        if !self.may_get(&user, INGRESSES, route.map(|route| &route.ingress)).await? {
            return Err(Denied::Forbidden { user: user["username"].as_str().unwrap_or("this user").to_owned() });
        }
        let mut readable = BTreeSet::new();
        for secret in route.into_iter().flat_map(|route| judge::secrets(&table, route)) {
            if self.may_get(&user, SECRETS, Some(secret)).await? {
                readable.insert(secret.clone());
            }
        }
        Ok(explain(&table, question, Sight::Inside { insight: &self.insight, readable: &readable }).await)
    }

    async fn user(&self, token: &str) -> Result<Value, Denied> {
        let review = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token},
        });
        let review = self.hub.post(TOKEN_REVIEWS, &review).await?;
        let known = review["status"]["authenticated"] == true && review["status"]["user"]["username"].is_string();
        if known { Ok(review["status"]["user"].clone()) } else { Err(Denied::Unknown) }
    }

    /// Whether `user` may get an object of this group and resource; all of them, where none is named.
    async fn may_get(&self, user: &Value, of: (&str, &str), named: Option<&Named>) -> Result<bool, ApiError> {
        let (group, resource) = of;
        let mut attributes = json!({"verb": "get", "group": group, "resource": resource});
        if let Some(named) = named {
            attributes["namespace"] = (*named.namespace).into();
            attributes["name"] = (*named.name).into();
        }
        let mut spec = json!({"user": user["username"], "resourceAttributes": attributes});
        for field in ["uid", "groups", "extra"] {
            if !user[field].is_null() {
                spec[field] = user[field].clone();
            }
        }
        let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec});
        let review = self.hub.post(ACCESS_REVIEWS, &review).await?;
        Ok(review["status"]["allowed"] == true)
    }
}
