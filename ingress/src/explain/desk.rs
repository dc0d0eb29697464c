//! Explanations for those who may have them: whoever may read the Ingress that a request goes by.
//!
//! The hub says who somebody is and what they may; must not know how the question came.

use std::sync::Arc;

use arc_swap::ArcSwap;
use hub_client::{ApiError, Hub};
use serde_json::{Value, json};

use super::{Insight, Question, Sight, Step, explain, owner};
use crate::route::RouteTable;
use crate::snapshot::Named;

const TOKEN_REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
const ACCESS_REVIEWS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";

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
    #[error("{user} may not get {what}")]
    Forbidden { user: String, what: String },
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
        self.may_read(&user, owner(&table, question.clone())).await?;
        Ok(explain(&table, question, Sight::Inside(&self.insight)).await)
    }

    async fn user(&self, token: &str) -> Result<Value, Denied> {
        let review = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token},
        });
        let review = self.hub.post(TOKEN_REVIEWS, &review).await?;
        let known = review["status"]["authenticated"] == true && review["status"]["user"]["username"].is_string();
        if known { Ok(review["status"]["user"].clone()) } else { Err(Denied::Unknown) }
    }

    /// Whether `user` may get this Ingress; all of them, where a request goes by none.
    async fn may_read(&self, user: &Value, ingress: Option<Named>) -> Result<(), Denied> {
        let mut attributes = json!({"verb": "get", "group": "networking.k8s.io", "resource": "ingresses"});
        if let Some(ingress) = &ingress {
            attributes["namespace"] = (*ingress.namespace).into();
            attributes["name"] = (*ingress.name).into();
        }
        let mut spec = json!({"user": user["username"], "resourceAttributes": attributes});
        for field in ["uid", "groups", "extra"] {
            if !user[field].is_null() {
                spec[field] = user[field].clone();
            }
        }
        let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec});
        let review = self.hub.post(ACCESS_REVIEWS, &review).await?;
        if review["status"]["allowed"] == true {
            return Ok(());
        }
        let what = ingress
            .map_or_else(|| "all Ingresses, and this request goes by none".to_owned(), |i| format!("Ingress {i}"));
        Err(Denied::Forbidden { user: user["username"].as_str().unwrap_or("this user").to_owned(), what })
    }
}
