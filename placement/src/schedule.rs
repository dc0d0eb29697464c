//! Decides which member clusters run a template, with how many replicas: pure, deterministic, explained.
//!
//! Reads facts, never the API; what is missing, broken or unknown holds what stands and is never a reason to delete.

pub mod annotation;
pub mod capacity;
mod choose;
pub mod divide;
pub mod filter;
pub mod glob;
mod labels;
mod model;
mod precedence;
mod spread;

pub use choose::{FOLLOWS, decide, refusal};
pub use model::{
    ClusterFacts, Decision, DefaultPlacement, Inputs, Policy, Previous, Referrer, Row, Shape, Template, Verdict,
};
pub use precedence::selects_template;

#[cfg(test)]
mod tests;
