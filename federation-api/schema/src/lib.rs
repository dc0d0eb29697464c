//! federation-schema

pub mod decode;
pub mod defaults;
pub mod facts;
pub mod field;
pub mod managed;
pub mod patch;
pub mod quantity;
pub mod selector;
pub mod validate;
