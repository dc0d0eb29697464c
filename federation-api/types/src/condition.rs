//! Conditions as `metav1.Condition` has them.
//!
//! Time is passed in: this crate has no clock.

use serde::{Deserialize, Serialize};

/// One entry of `status.conditions`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    pub reason: String,
    pub message: String,
    /// RFC 3339, seconds, UTC.
    pub last_transition_time: String,
    #[serde(skip_serializing_if = "crate::meta::is_zero")]
    pub observed_generation: i64,
}

impl Condition {
    /// A condition without a transition time; [`set`] fills that in.
    #[must_use]
    pub fn new(kind: &str, holds: Option<bool>, reason: &str, message: impl Into<String>) -> Self {
        let status = match holds {
            Some(true) => "True",
            Some(false) => "False",
            None => "Unknown",
        };
        Self {
            kind: kind.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: message.into(),
            last_transition_time: String::new(),
            observed_generation: 0,
        }
    }

    /// Whether the condition's status is `True`.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.status == "True"
    }
}

/// Puts `next` into `conditions`, keeping the transition time where the status did not change; says whether anything did.
pub fn set(conditions: &mut Vec<Condition>, mut next: Condition, now: &str) -> bool {
    match conditions.iter_mut().find(|c| c.kind == next.kind) {
        Some(old) => {
            next.last_transition_time =
                if old.status == next.status { old.last_transition_time.clone() } else { now.to_owned() };
            let changed = *old != next;
            *old = next;
            changed
        }
        None => {
            next.last_transition_time = now.to_owned();
            conditions.push(next);
            true
        }
    }
}

/// Whether a condition of this type is there and `True`.
#[must_use]
pub fn holds(conditions: &[Condition], kind: &str) -> bool {
    conditions.iter().any(|c| c.kind == kind && c.holds())
}

#[cfg(test)]
mod tests {
    use super::{Condition, holds, set};

    #[test]
    fn a_transition_moves_the_time_and_a_repeat_does_not() {
        let mut list = Vec::new();
        assert!(set(&mut list, Condition::new("Ready", Some(true), "Ok", "fine"), "t1"));
        assert!(!set(&mut list, Condition::new("Ready", Some(true), "Ok", "fine"), "t2"));
        assert_eq!(list[0].last_transition_time, "t1");
        assert!(set(&mut list, Condition::new("Ready", Some(false), "Down", "no"), "t3"));
        assert_eq!(list[0].last_transition_time, "t3");
        assert!(!holds(&list, "Ready"));
    }
}
