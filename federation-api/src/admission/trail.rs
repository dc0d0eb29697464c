//! What mutating policies and webhooks have done to a write so far: it decides who is asked a second time.
//!
//! Source: k8s.io/apiserver `pkg/admission/plugin/policy/mutating/reinvocationcontext.go` and its like of webhooks.

use std::sync::Arc;

use serde_json::Value;

/// The first round, and what it calls for.
#[derive(Debug, Default)]
pub(crate) struct Trail {
    /// Whether this is the second round.
    again: bool,
    /// Whether somebody of the first round has changed the object.
    changed: bool,
    policies: Book,
    webhooks: Book,
}

/// Who is asked: policies and webhooks keep books of their own.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kin {
    Policies,
    Webhooks,
}

#[derive(Debug, Default)]
struct Book {
    /// Those who want to be asked again when others change the object after them.
    asked: Vec<Arc<str>>,
    /// Those of them after whom somebody has changed it.
    outdated: Vec<Arc<str>>,
    /// What the last one left.
    left: Option<Value>,
}

impl Trail {
    /// Begins the second round, if the first one calls for it.
    pub(super) fn begin_again(&mut self) -> bool {
        let again = !self.again && self.changed;
        self.again |= again;
        again
    }

    /// The turn of this kin: where others have changed the object since, it has seen another one.
    pub(super) fn enter(&mut self, kin: Kin, now: &Value) {
        if self.again && self.book(kin).left.as_ref().is_some_and(|left| left != now) {
            self.change(kin);
        }
    }

    /// Whether this one has nothing new to see.
    pub(super) fn skips(&mut self, kin: Kin, id: &str) -> bool {
        self.again && !self.book(kin).outdated.iter().any(|own| &**own == id)
    }

    /// The object has changed: who was asked before has seen another one.
    pub(super) fn change(&mut self, kin: Kin) {
        self.changed = true;
        let book = self.book(kin);
        let asked = std::mem::take(&mut book.asked);
        book.outdated.extend(asked);
    }

    /// This one was asked, and wants to be asked again.
    pub(super) fn remember(&mut self, kin: Kin, id: Arc<str>) {
        self.book(kin).asked.push(id);
    }

    /// The end of the turn of this kin.
    pub(super) fn leave(&mut self, kin: Kin, now: &Value) {
        if !self.again {
            self.book(kin).left = Some(now.clone());
        }
    }

    fn book(&mut self, kin: Kin) -> &mut Book {
        match kin {
            Kin::Policies => &mut self.policies,
            Kin::Webhooks => &mut self.webhooks,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Kin, Trail};

    /// Protocol: A3
    #[test]
    fn a_second_round_asks_those_who_saw_another_object() {
        let (first, second) = (json!(1), json!(2));
        let mut trail = Trail::default();
        trail.enter(Kin::Policies, &first);
        assert!(!trail.skips(Kin::Policies, "p"));
        trail.remember(Kin::Policies, "p".into());
        trail.leave(Kin::Policies, &first);
        trail.enter(Kin::Webhooks, &first);
        trail.remember(Kin::Webhooks, "early".into());
        trail.change(Kin::Webhooks);
        trail.remember(Kin::Webhooks, "late".into());
        trail.leave(Kin::Webhooks, &second);
        assert!(trail.begin_again());
        trail.enter(Kin::Policies, &second);
        assert!(!trail.skips(Kin::Policies, "p") && trail.skips(Kin::Policies, "never"));
        trail.enter(Kin::Webhooks, &second);
        assert!(!trail.skips(Kin::Webhooks, "early") && trail.skips(Kin::Webhooks, "late"));
        assert!(!trail.begin_again(), "there is no third");
    }
}
