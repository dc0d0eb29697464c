//! Running other programs: what failed is told with its command line and output.

use std::env;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};

use crate::paths;

/// Starts a command line from a program and its arguments.
pub fn command<A: AsRef<OsStr>>(program: impl AsRef<OsStr>, arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

/// Cargo itself, without what the cargo that started this process told it about xtask:
/// build scripts that look at those variables would run again each time.
pub fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(paths::repository());
    for (name, _) in env::vars_os() {
        let told = name.to_str().is_some_and(|name| {
            ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"].iter().any(|p| name.starts_with(p))
        });
        if told {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// Runs with this process's own output.
///
/// # Errors
/// The program cannot be started or fails.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("start {}", line(command)))?;
    if !status.success() {
        bail!("{} failed: {status}", line(command));
    }
    Ok(())
}

/// Runs and returns standard output.
///
/// # Errors
/// The program cannot be started, fails (the error carries what it said), or prints no UTF-8.
pub fn read(command: &mut Command) -> Result<String> {
    let output = attempt(command)?;
    if !output.status.success() {
        bail!("{} failed: {}\n{}", line(command), output.status, transcript(&output));
    }
    String::from_utf8(output.stdout).with_context(|| format!("output of {}", line(command)))
}

/// Runs and returns whatever happened.
///
/// # Errors
/// The program cannot be started.
pub fn attempt(command: &mut Command) -> Result<Output> {
    command.stdin(Stdio::null()).output().with_context(|| format!("start {}", line(command)))
}

/// Standard output and standard error, for a person.
pub fn transcript(output: &Output) -> String {
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    text
}

/// The command line, for a person.
pub fn line(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        write!(text, " {}", argument.to_string_lossy()).expect("a String takes everything");
    }
    text
}

/// Whether a program of that name is on the PATH.
pub fn on_path(program: &str) -> bool {
    let Some(path) = env::var_os("PATH") else { return false };
    env::split_paths(&path).any(|folder| is_executable(&folder.join(program)))
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}
