//! CustomResourceDefinitions as objects: their defaults, and everything that may be wrong with them.
//!
//! Upstream hoists what all versions share to the top of the spec before it looks at it, and its paths say so
//! (`spec.validation.openAPIV3Schema…`); [`Definition`] does the same.
//! Source: `k8s.io/apiextensions-apiserver/pkg/apis/apiextensions`.

mod approval;
mod cost;
mod field_path;
mod names;
mod paths;
mod relax;
mod schema;
mod spec;
mod stored;
mod view;
mod warnings;
mod webhook;

pub use approval::{Approval, approval};
pub use field_path::{FoundField, find as find_field};
pub use names::check as check_names;
pub use spec::{validate, validate_status};
pub use stored::violations;
pub use view::{Definition, Version, default};
pub use warnings::warnings;

/// Fields that a version may offer to field selectors.
pub const MAX_SELECTABLE_FIELDS: usize = 8;
