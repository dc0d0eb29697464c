//! The one binary, also `kubectl-fedgate`: parse, trace, dispatch.

use clap::Parser as _;

fn main() -> std::process::ExitCode {
    fedgate::command::main(&fedgate::command::Cli::parse())
}
