//! federation-store
