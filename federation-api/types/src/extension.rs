//! Knowledge of placement that the API needs inside a request, as pure traits.
//!
//! Placement implements them, the composition root injects them; the API server works without.

use serde_json::Value;

/// What the API asks of placement while it answers a request.
pub trait PlacementView: Send + Sync {
    /// A warning for a template just written that nothing places; `None` where it is placed or need not be.
    fn unplaced_warning(&self, template: &Value) -> Option<String>;

    /// The CLUSTERS cell of a template (`east:3 west:2`); `None` where the kind is never placed.
    fn clusters_cell(&self, template: &Value) -> Option<String>;

    /// Whether an object of this kind, namespace and name is ever placed on members.
    fn is_template(&self, object: &Value) -> bool;
}

/// Places nothing and knows nothing: for API servers without placement, such as simulated members.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoPlacement;

impl PlacementView for NoPlacement {
    fn unplaced_warning(&self, _template: &Value) -> Option<String> {
        None
    }

    fn clusters_cell(&self, _template: &Value) -> Option<String> {
        None
    }

    fn is_template(&self, _object: &Value) -> bool {
        false
    }
}
