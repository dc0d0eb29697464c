//! federation-schema

pub mod field;
pub mod quantity;
pub mod selector;
