//! Patches on our API server and on a real one, compared: the `replay` program does it, this starts it.

use std::path::Path;
use std::time::Instant;

use super::journey::Outcome;
use crate::invoke;

/// One step of the journeys, with its own table of rules on standard output.
pub fn run(programs: &Path, outcome: &mut Outcome) {
    let started = Instant::now();
    let mut replay = invoke::cargo();
    replay.args(["run", "--quiet", "--locked", "--package", "replay", "--", "--programs"]).arg(programs);
    match invoke::run(&mut replay) {
        Ok(()) => outcome.passed += 1,
        Err(error) => outcome.failed.push(format!("replay: {error:#}")),
    }
    println!("  {:.1} s in all", started.elapsed().as_secs_f64());
}
