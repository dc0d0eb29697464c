//! The chart: linted and rendered with every set of values under `ci/`.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use super::tally::Tally;
use crate::provision::Toolbox;
use crate::{invoke, paths};

/// The sets of values that the chart is tried with.
///
/// # Errors
/// The folder cannot be read, or holds none.
pub fn value_sets() -> Result<Vec<PathBuf>> {
    let folder = paths::repository().join("charts/fedgate/ci");
    let mut sets = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))? {
        sets.push(entry?.path());
    }
    sets.sort();
    ensure!(!sets.is_empty(), "no values in {}", folder.display());
    Ok(sets)
}

/// # Errors
/// helm finds something wrong.
pub fn check(toolbox: &Toolbox, tally: &mut Tally) -> Result<()> {
    if toolbox.lacks("helm").is_some() {
        // Counted where the toolbox was stocked.
        return Ok(());
    }
    for values in value_sets()? {
        for verb in [&["lint", "--strict"][..], &["template", "fedgate"][..]] {
            let mut helm = invoke::command("helm", verb);
            helm.arg("charts/fedgate").arg("--values").arg(&values).current_dir(paths::repository());
            invoke::read(helm.env("PATH", toolbox.path()?))?;
            tally.pass(1);
        }
    }
    let cut_off = &["template", "fedgate", "charts/fedgate", "--set", "ingress.timeouts.drain=45s"];
    let mut helm = invoke::command("helm", cut_off);
    let output = helm.current_dir(paths::repository()).env("PATH", toolbox.path()?).output().context("run helm")?;
    let told = String::from_utf8_lossy(&output.stderr);
    let refused = !output.status.success() && told.contains("must be shorter than terminationGracePeriodSeconds");
    ensure!(refused, "a drain as long as the grace period is not refused: {told}");
    tally.pass(1);
    Ok(())
}
