//! `x-kubernetes-validations`: rules that a schema has for its values, compiled once and run within a budget.
//!
//! [`compile`] judges single rules for those who check definitions; [`Rules`] holds those of a whole schema.
//! Source: `apiextensions-apiserver/pkg/apiserver/schema/cel`; texts are upstream's.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::cel::Decl;

use super::Schema;

mod compile;
mod declare;
mod evaluate;

pub use compile::{Compiled, compile};
pub use declare::declare;

/// What one object may cost in all, in CEL's units.
pub const RUNTIME_BUDGET: i64 = 10_000_000;

/// The rules of a schema, at this node and below.
#[derive(Debug)]
pub struct Rules {
    decl: Option<Arc<Decl>>,
    own: Vec<Compiled>,
    items: Option<Box<Rules>>,
    values: Option<Box<Rules>>,
    properties: BTreeMap<Box<str>, Rules>,
}

impl Rules {
    /// Compiles all rules; none where there are none. `is_root` says that the schema is that of a whole resource.
    pub fn of_schema(schema: &Schema, is_root: bool) -> Option<Self> {
        if !schema.has_rules() {
            return None;
        }
        let decl = || declare(schema, is_root).map(Arc::new);
        let decl = if schema.rules.is_empty() { None } else { decl() };
        let own = match &decl {
            Some(decl) => compile(schema, decl),
            None => schema.rules.iter().map(Compiled::without_type).collect(),
        };
        let below = |schema: &Schema| Rules::of_schema(schema, schema.embedded);
        let properties = schema.properties.iter();
        Some(Self {
            decl,
            own,
            items: schema.item().and_then(below).map(Box::new),
            values: schema.map_value().and_then(below).map(Box::new),
            properties: properties.filter_map(|(name, schema)| Some((name.clone(), below(schema)?))).collect(),
        })
    }
}
