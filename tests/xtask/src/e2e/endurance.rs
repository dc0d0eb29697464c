//! Requests at a fixed rate through everything that can happen to a federation: new images, a minute of edits, new
//! certificates, members that fail and vanish. No request may be lost; nothing may grow. Times are told and decide nothing.

mod pace;
mod stage;
mod vitals;

use anyhow::{Result, ensure};

pub use self::pace::{Lost, Pace};
pub use self::stage::{Stage, build};
pub use self::vitals::Vitals;
use super::journey::{self, Outcome, Step};

const STEPS: &[Step<Stage>] = &[
    ("an application is served over HTTP and HTTPS", Stage::serve),
    ("rolling updates lose no request", rolling_updates),
    ("a minute of edits, 1,000 a second, loses no request and leaves nothing behind", edits),
    ("new certificates lose no connection", certificates),
    ("a member that fails costs no request that may be repeated", |stage| lost_member(stage, "fail")),
    ("a member that vanishes costs no request that may be repeated", |stage| lost_member(stage, "partition")),
];

const ROLLOUTS: usize = 5;
const ROTATIONS: usize = 5;
/// Edits before anything is measured: caches fill, pools grow to their sizes.
const WARM_UP_SECONDS: u32 = 10;
const EDIT_SECONDS: u32 = 60;
pub const EDITS_A_SECOND: u32 = 1000;

/// Walks the steps on a playground of its own.
pub fn run(outcome: &mut Outcome) {
    match Stage::open("endurance") {
        Ok(mut stage) => journey::walk(&mut stage, ("endurance", STEPS), outcome, |stage| {
            println!("--- the playground's log: {}", stage.dir().join("up.log").display());
        }),
        Err(error) => outcome.failed.push(format!("endurance: the playground: {error:#}")),
    }
}

fn rolling_updates(stage: &mut Stage) -> Result<()> {
    let pace = stage.pace(&["--posts"])?;
    for round in 0..ROLLOUTS {
        stage.roll(round)?;
    }
    pace.end()?.told("rolling updates").lost_at_most(Lost::PostsUnderWay(ROLLOUTS))
}

fn edits(stage: &mut Stage) -> Result<()> {
    stage.churn(WARM_UP_SECONDS)?;
    let before = stage.vitals()?;
    let pace = stage.pace(&["--posts"])?;
    stage.churn(EDIT_SECONDS)?;
    pace.end()?.told("a minute of edits").lost_at_most(Lost::Nothing)?;
    stage.has_not_outgrown(&before)
}

fn certificates(stage: &mut Stage) -> Result<()> {
    let pace = stage.pace(&["--tls", "--posts"])?;
    for _ in 0..ROTATIONS {
        stage.rotate()?;
    }
    let said = pace.end()?.told("new certificates");
    ensure!(said.certificates > ROTATIONS, "only {} certificates were shown", said.certificates);
    said.lost_at_most(Lost::Nothing)
}

fn lost_member(stage: &mut Stage, fault: &str) -> Result<()> {
    let pace = stage.pace(&["--posts"])?;
    stage.fault(fault, "east")?;
    stage.watch();
    stage.fault("heal", "east")?;
    stage.members_are_ready()?;
    pace.end()?.told(fault).lost_at_most(Lost::PostsUnderWay(1))
}
