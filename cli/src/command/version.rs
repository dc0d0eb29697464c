//! `fedgate version`.

use crate::failure::Failure;

/// Prints the version.
///
/// # Errors
/// If standard output cannot be written.
pub fn version() -> Result<(), Failure> {
    super::print(&format!("fedgate {}\n", env!("CARGO_PKG_VERSION")))
}
