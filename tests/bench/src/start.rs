//! The start signal: whoever measures looks at the server between our `ready` and its answer.

use std::io::{self, Write};

use anyhow::{Result, ensure};

/// Returns when a line has come on standard input.
///
/// # Errors
/// Standard input ended without one.
pub fn signal() -> Result<()> {
    println!("ready");
    io::stdout().flush()?;
    let mut line = String::new();
    ensure!(io::stdin().read_line(&mut line)? > 0, "nobody gave the start signal");
    Ok(())
}
