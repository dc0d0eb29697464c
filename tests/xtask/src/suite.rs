//! `cargo xtask test`: one list of steps, each counted, nothing skipped in silence.

pub mod chart;
mod h2spec;
mod spec;
mod tally;

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use self::tally::Tally;
use crate::provision::{For, Toolbox};
use crate::{clients, e2e, fuzz, invoke, paths};

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Options {
    #[command(subcommand)]
    part: Option<Part>,
    /// Run only these steps
    #[arg(long, value_enum)]
    only: Vec<Step>,
    /// Leave these steps out
    #[arg(long, value_enum)]
    skip: Vec<Step>,
    /// Run nothing: print each line of the protocol with its tests, and what is not served and why
    #[arg(long)]
    list_spec: bool,
}

/// A step alone, with options of its own.
#[derive(clap::Subcommand)]
enum Part {
    /// Real client programs against the endpoint: a table client × verb
    Clients(clients::Options),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Step {
    /// rustfmt
    Format,
    /// clippy, warnings are failures
    Lints,
    /// cargo-deny: licences, sources, duplicate versions
    Licences,
    /// helm lint and helm template
    Chart,
    /// every test of the workspace
    Tests,
    /// every fuzz target for a minute
    Fuzz,
    /// the conformance suite of HTTP/2 against the ingress
    H2spec,
    /// today's client programs against the endpoint
    Clients,
    /// the journeys on real control planes
    E2e,
}

const STEPS: [Step; 9] = [
    Step::Format,
    Step::Lints,
    Step::Licences,
    Step::Chart,
    Step::Tests,
    Step::Fuzz,
    Step::H2spec,
    Step::Clients,
    Step::E2e,
];

/// # Errors
/// A test or check failed.
pub fn run(options: &Options) -> Result<()> {
    match &options.part {
        Some(Part::Clients(clients)) => clients::run(clients),
        None if options.list_spec => spec::list(&paths::repository()),
        None => steps(options),
    }
}

fn steps(options: &Options) -> Result<()> {
    let mut tally = Tally::default();
    let toolbox = Toolbox::stock(For::Test);
    for missing in &toolbox.missing {
        tally.skip(format!("tests that need {}", missing.program), &missing.why);
    }
    for step in STEPS {
        if options.skip.contains(&step) || !(options.only.is_empty() || options.only.contains(&step)) {
            tally.skip(format!("{step:?}"), "left out on the command line");
            continue;
        }
        println!("\n==> {step:?}");
        if let Err(error) = step.run(&toolbox, &mut tally) {
            tally.fail(format!("{step:?}: {error:#}"));
        }
    }
    print!("\n{}", tally.report());
    std::io::stdout().flush()?;
    if tally.failed() > 0 {
        bail!("{} failed", tally.failed());
    }
    Ok(())
}

impl Step {
    fn run(self, toolbox: &Toolbox, tally: &mut Tally) -> Result<()> {
        match self {
            Self::Format => check(tally, &["fmt", "--all", "--check"]),
            Self::Lints => check(
                tally,
                &["clippy", "--workspace", "--all-targets", "--locked", "--quiet", "--", "--deny", "warnings"],
            ),
            Self::Licences => licences(toolbox, tally),
            Self::Chart => chart::check(toolbox, tally),
            Self::Tests => workspace_tests(toolbox, tally),
            Self::Fuzz => fuzz_targets(tally),
            Self::H2spec => h2spec::run().map(|()| tally.pass(1)),
            Self::Clients => real_clients(tally),
            Self::E2e => real_members(tally),
        }
    }
}

fn check(tally: &mut Tally, arguments: &[&str]) -> Result<()> {
    invoke::run(invoke::cargo().args(arguments))?;
    tally.pass(1);
    Ok(())
}

/// Advisories are left to those who can reach their database.
fn licences(toolbox: &Toolbox, tally: &mut Tally) -> Result<()> {
    if toolbox.lacks("cargo-deny").is_some() {
        // Counted where the toolbox was stocked.
        return Ok(());
    }
    let mut deny = invoke::cargo();
    deny.args(["deny", "--log-level", "error", "--config", ".deny.toml", "check", "licenses", "bans", "sources"]);
    invoke::run(deny.env("PATH", toolbox.path()?))?;
    tally.pass(1);
    Ok(())
}

/// Shows the tests' own output and counts from it.
fn workspace_tests(toolbox: &Toolbox, tally: &mut Tally) -> Result<()> {
    let mut tests = invoke::cargo();
    tests.args(["test", "--workspace", "--locked", "--no-fail-fast"]).env("PATH", toolbox.path()?);
    let mut running = tests.stdout(Stdio::piped()).spawn().context("start cargo test")?;
    let output = running.stdout.take().context("cargo test's output")?;
    let before = tally.failed();
    for line in BufReader::new(output).lines() {
        let line = line.context("cargo test's output")?;
        println!("{line}");
        tally.read_line(&line);
    }
    let status = running.wait()?;
    if !status.success() && tally.failed() == before {
        bail!("cargo test failed before any test did: {status}");
    }
    Ok(())
}

fn fuzz_targets(tally: &mut Tally) -> Result<()> {
    for outcome in fuzz::all(&fuzz::Options::of_every_change())? {
        match outcome.found {
            None => tally.pass(1),
            Some(said) => tally.fail(format!("Fuzz: {}\n{said}", outcome.target)),
        }
    }
    Ok(())
}

fn real_clients(tally: &mut Tally) -> Result<()> {
    let outcome = clients::matrix(&clients::Options::of_today())?;
    tally.pass(outcome.passed);
    for (cell, why) in outcome.failed {
        tally.fail(format!("Clients: {cell}: {why}"));
    }
    for (cell, why) in outcome.skipped {
        tally.skip(format!("Clients: {cell}"), &why);
    }
    for name in clients::left_out() {
        tally.skip(format!("Clients: {name}"), "only the whole matrix has it: cargo xtask test clients");
    }
    Ok(())
}

fn real_members(tally: &mut Tally) -> Result<()> {
    if let Some(obstacle) = e2e::obstacle() {
        tally.skip("E2e".to_owned(), &obstacle);
        return Ok(());
    }
    let outcome = e2e::journeys(&e2e::Options::default())?;
    tally.pass(outcome.passed);
    for failure in outcome.failed {
        tally.fail(format!("E2e: {failure}"));
    }
    for (step, why) in outcome.skipped {
        tally.skip(format!("E2e: {step}"), &why);
    }
    Ok(())
}
