//! federation-schema

pub mod decode;
pub mod facts;
pub mod field;
pub mod managed;
pub mod patch;
pub mod quantity;
pub mod selector;
