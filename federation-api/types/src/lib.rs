//! federation-types
