//! Journeys on real control planes: three member clusters of the rig, the release
//! binary, and the clients that users have. Each journey is a list of named steps.

mod crash;
pub mod endurance;
mod ground;
pub mod hub;
mod journey;
pub mod members;
mod replay;
pub mod shop;
pub mod wait;

use std::time::Instant;

use anyhow::{Result, bail};

use crate::{invoke, provision};
use journey::{Journey, Outcome};

/// Enough to meet a commit in every phase, in about a minute.
const KILLS: u32 = 20;

#[derive(clap::Args)]
pub struct Options {
    /// Which journeys (default: all)
    #[arg(long, value_enum)]
    only: Vec<Name>,
    /// Use the binary that is there (FEDGATE_BINARY, or the last release build), do not build it
    #[arg(long)]
    no_build: bool,
    /// How often the crash journey kills the hub
    #[arg(long, default_value_t = KILLS)]
    kills: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { only: Vec::new(), no_build: false, kills: KILLS }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Name {
    /// the real members themselves, without fedgate
    Ground,
    /// one application from the first apply to the last delete
    Shop,
    /// the hub killed in the middle of many applies
    Crash,
    /// patches of every kind, compared with a real API server's answers
    Replay,
    /// requests at a fixed rate through rollouts, edits, new certificates and lost members
    Endurance,
}

/// Why no journey can run here; nothing if one can.
pub fn obstacle() -> Option<String> {
    if !provision::is_root() {
        return Some("network namespaces need root".to_owned());
    }
    let mut try_one = invoke::command("unshare", ["--net", "true"]);
    if let Err(error) = invoke::read(&mut try_one) {
        return Some(format!("no network namespaces here: {error:#}"));
    }
    None
}

/// # Errors
/// A step of a journey failed, or none could start.
pub fn run(options: &Options) -> Result<()> {
    // What needs no network of its own runs anywhere.
    let alone =
        !options.only.is_empty() && options.only.iter().all(|name| matches!(name, Name::Replay | Name::Endurance));
    if let Some(obstacle) = obstacle().filter(|_| !alone) {
        bail!(obstacle);
    }
    let outcome = journeys(options)?;
    for (step, why) in &outcome.skipped {
        println!("skipped {step}: {why}");
    }
    println!("{} passed, {} failed, {} skipped", outcome.passed, outcome.failed.len(), outcome.skipped.len());
    if !outcome.failed.is_empty() {
        bail!("{} failed", outcome.failed.join(", "));
    }
    Ok(())
}

/// Runs the journeys one after the other, each on members of its own.
///
/// # Errors
/// What the journeys need cannot be built.
pub fn journeys(options: &Options) -> Result<Outcome> {
    let programs = provision::rig::build()?;
    let toolbox = provision::Toolbox::stock(provision::For::Test);
    let mut outcome = Outcome::default();
    let all = [
        (Name::Ground, "ground", ground::STEPS),
        (Name::Shop, "shop", shop::STEPS),
        (Name::Crash, "crash", crash::STEPS),
    ];
    if options.only.is_empty() || options.only.contains(&Name::Replay) {
        println!("journey replay");
        replay::run(&programs, &mut outcome);
    }
    if options.only.is_empty() || options.only.contains(&Name::Endurance) {
        println!("journey endurance");
        let started = Instant::now();
        match if options.no_build { Ok(()) } else { endurance::build() } {
            Ok(()) => endurance::run(&mut outcome),
            Err(error) => outcome.failed.push(format!("endurance: the release binaries: {error:#}")),
        }
        println!("  {:.1} s in all", started.elapsed().as_secs_f64());
    }
    for (name, title, steps) in all {
        if !options.only.is_empty() && !options.only.contains(&name) {
            continue;
        }
        println!("journey {title}");
        // The ground stands without the product.
        if name != Name::Ground
            && !options.no_build
            && let Err(error) = endurance::build()
        {
            outcome.failed.push(format!("{title}: the release binaries: {error:#}"));
            continue;
        }
        let started = Instant::now();
        match Journey::open(title, programs.clone(), &toolbox, options.kills) {
            Ok(mut journey) => journey.walk(title, steps, &mut outcome),
            Err(error) => outcome.failed.push(format!("{title}: members: {error:#}")),
        }
        println!("  {:.1} s in all", started.elapsed().as_secs_f64());
    }
    Ok(outcome)
}
