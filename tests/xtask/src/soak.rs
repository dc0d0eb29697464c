//! `cargo xtask soak --minutes N`: faults of every kind, one after the other, under 1,000 requests a second. What was
//! lost is told; what grew from the first round to the last is a failure.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::e2e::endurance::{self, Lost, Stage, Vitals};

#[derive(clap::Args)]
pub struct Options {
    /// How long; two rounds at least
    #[arg(long, default_value_t = 5)]
    minutes: u64,
    /// Use the release binaries that are there, do not build them
    #[arg(long)]
    no_build: bool,
}

/// Seconds of edits in each round.
const EDITS: u32 = 5;
/// What happens to a member, and for how long it is left so by `Stage::watch`.
const FAULTS: [&str; 3] = ["fail", "partition", "slow"];
const MEMBERS: [&str; 3] = ["east", "west", "north"];

/// # Errors
/// A request was lost that need not be, or something grew.
pub fn run(options: &Options) -> Result<()> {
    if !options.no_build {
        endurance::build()?;
    }
    let mut stage = Stage::open("soak")?;
    stage.serve()?;
    let end = Instant::now() + Duration::from_secs(60 * options.minutes);
    let start = stage.vitals()?;
    let mut first: Option<Vitals> = None;
    let mut rounds = 0;
    while Instant::now() < end || rounds < 2 {
        round(&mut stage, rounds)?;
        rounds += 1;
        let vitals = stage.settled(&start)?;
        println!("round {rounds}: {vitals}");
        // The first round fills caches and pools.
        first.get_or_insert(vitals).not_outgrown_by(&vitals)?;
    }
    Ok(())
}

/// Everything once, each fault at another member than in the round before.
fn round(stage: &mut Stage, number: usize) -> Result<()> {
    let pace = stage.pace(&["--posts"])?;
    stage.roll(number)?;
    stage.churn(EDITS)?;
    stage.rotate()?;
    for (at, fault) in FAULTS.into_iter().enumerate() {
        let member = MEMBERS[(number + at) % MEMBERS.len()];
        stage.fault(fault, member)?;
        stage.watch();
        stage.fault("heal", member)?;
        stage.members_are_ready()?;
    }
    // A rollout, and two faults that end what is under way.
    pace.end()?.told("the round").lost_at_most(Lost::PostsUnderWay(3))
}
