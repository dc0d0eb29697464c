//! `fedgate explain FG-…`: what an error code means, offline.

use clap::Args;

use crate::failure::{CODES, Failure};

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// The code, or a part of it; without one all are listed
    pub code: Option<String>,
}

/// Prints the meaning.
///
/// # Errors
/// FG-CLI-001 where there is no such code.
pub fn explain(explain: &Explain) -> Result<(), Failure> {
    let wanted = explain.code.as_deref().unwrap_or_default().to_ascii_uppercase();
    let found: Vec<_> = CODES.iter().filter(|c| c.code.contains(&wanted)).collect();
    if found.is_empty() {
        return Err(Failure::new("FG-CLI-001", format!("there is no code {wanted:?}")).fix("fedgate explain"));
    }
    let text: String = found.iter().map(|c| format!("{}  (exit {})\n  {}\n", c.code, c.exit, c.meaning)).collect();
    super::print(&text)
}
