//! Questions that expressions put to the authorizers, which may have to be waited for.
//!
//! Expressions run without waiting: a question that has no answer yet is noted, answered afterwards, and the
//! expressions run once more.

use auth::{Attributes, ResourceAttributes, ServiceAccountName, UserInfo};
use federation_schema::cel::{Authorizer, Decision, Question};
use parking_lot::Mutex;

use crate::call::Call;

/// Rounds of questions; a budget pays for two a expression.
const MAX_ROUNDS: usize = 64;

/// What has been answered, and what was asked beside.
#[derive(Debug, Default)]
pub(super) struct Answers {
    known: Vec<(Question, Decision)>,
    /// Guards what expressions ask while they run; never held across an await.
    open: Mutex<Vec<Question>>,
    rounds: usize,
}

impl Authorizer for Answers {
    fn authorize(&self, question: &Question) -> Decision {
        if let Some((_, decision)) = self.known.iter().find(|(own, _)| own == question) {
            return decision.clone();
        }
        self.open.lock().push(question.clone());
        Decision { error: Some("not answered yet".to_owned()), ..Decision::default() }
    }
}

impl Answers {
    /// Answers what was asked; false if nothing was, and the outcome stands.
    pub(super) async fn answer(&mut self, call: &Call) -> bool {
        let open = std::mem::take(self.open.get_mut());
        self.rounds += 1;
        if open.is_empty() || self.rounds > MAX_ROUNDS {
            return false;
        }
        for question in open {
            if !self.known.iter().any(|(own, _)| *own == question) {
                let decision = decide(call, &question).await;
                self.known.push((question, decision));
            }
        }
        true
    }
}

async fn decide(call: &Call, question: &Question) -> Decision {
    let account = question.account.as_ref().map(|(namespace, name)| account(namespace, name));
    let user = account.as_ref().unwrap_or(&call.user);
    let attributes = match &question.path {
        Some(path) => Attributes::path(user, &question.verb, path),
        None => {
            let target = ResourceAttributes {
                group: &question.group,
                version: "*",
                resource: &question.resource,
                subresource: &question.subresource,
                namespace: &question.namespace,
                name: &question.name,
            };
            Attributes::resource(user, &question.verb, target)
        }
    };
    match call.server.access.decide(&attributes).await {
        Ok(decision) => Decision { allowed: decision.is_allowed(), reason: decision.reason().to_owned(), error: None },
        Err(error) => Decision { error: Some(error.to_string()), ..Decision::default() },
    }
}

fn account(namespace: &str, name: &str) -> UserInfo {
    let name = ServiceAccountName::new(namespace, name).to_string();
    UserInfo::new(name, ["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")])
}
