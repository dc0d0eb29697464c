//! What clients ask before they ask, and the formats of answers: negotiation, discovery, OpenAPI, Tables, `/version`.
//!
//! Pure functions over the table of kinds and over values; no store, no cache, no clock.

pub mod discovery;
pub mod document;
pub mod negotiate;
pub mod openapi;
pub mod table;
pub mod version;
pub mod yaml;
