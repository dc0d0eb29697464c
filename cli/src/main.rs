//! The one binary, also `kubectl-fedgate`: parse, trace, dispatch.

use clap::Parser as _;

/// A write allocates for its JSON trees a hundred times: with the C library's allocator that is a seventh of its time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    fedgate::command::main(&fedgate::command::Cli::parse())
}
