//! member-cluster
