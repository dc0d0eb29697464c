//! federation-schema
