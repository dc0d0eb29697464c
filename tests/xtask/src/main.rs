//! `cargo xtask VERB`: the developer's commands. It provisions what the tests need, runs them, and measures;
//! it depends on no crate of the workspace, so that it builds when they do not.

mod bench;
mod clients;
mod codegen;
mod conformance;
mod dev;
mod dist;
mod e2e;
mod fuzz;
mod invoke;
mod paths;
mod provision;
mod soak;
mod suite;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Build, test and measure fedgate", disable_version_flag = true)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Install what the tests need, then run all of them; says what was skipped and why
    Test(suite::Options),
    /// Run the journeys on real control planes (root and network namespaces are needed)
    E2e(e2e::Options),
    /// Throw bytes at every parser, from a kept corpus
    Fuzz(fuzz::Options),
    /// Write the table of kinds from what Kubernetes publishes
    Codegen(codegen::Codegen),
    /// Run Kubernetes' own conformance suite against `fedgate up` and compare with the kept list
    Conformance(conformance::Options),
    /// Measure, side by side with the peers
    Bench(bench::Options),
    /// Inject faults for some minutes under load, and look for what grows
    Soak(soak::Options),
    /// Build the release archive and its checksum
    Dist(dist::Options),
    /// Start three real member clusters and leave them running until Ctrl-C
    Dev(dev::Options),
    /// Only install tools and build the member clusters' control plane
    Provision(provision::Options),
}

fn main() -> ExitCode {
    match dispatch(Arguments::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(verb: Verb) -> Result<()> {
    match verb {
        Verb::Test(options) => suite::run(&options),
        Verb::E2e(options) => e2e::run(&options),
        Verb::Fuzz(options) => fuzz::run(&options),
        Verb::Codegen(codegen) => codegen.run(&paths::repository()),
        Verb::Conformance(options) => conformance::run(&options),
        Verb::Bench(options) => bench::run(&options),
        Verb::Soak(options) => soak::run(&options),
        Verb::Dist(options) => dist::run(&options),
        Verb::Dev(options) => dev::run(&options),
        Verb::Provision(options) => provision::run(&options),
    }
}
