//! The hub is killed again and again in the middle of 1,000 applies: what it
//! acknowledged is there afterwards, and the members converge.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::journey::{Journey, Step};
use super::shop::items;
use super::wait::until;
use crate::invoke;

const OBJECTS: u32 = 1_000;

/// For 1,000 objects on three members on a busy machine.
const CONVERGED_WITHIN: Duration = Duration::from_secs(180);

pub const STEPS: &[Step] = &[
    ("the hub starts and says that it is ready", |journey| journey.hub.start(&journey.members)),
    ("fedgate cluster add: three members", add_members),
    ("the hub is killed in the middle of 1,000 applies, again and again", kill_and_restart),
    ("the rest is applied", apply_rest),
    ("every acknowledged object is there", acknowledged_are_there),
    ("the members converge", members_converge),
];

fn add_members(journey: &mut Journey) -> Result<()> {
    for name in journey.names() {
        journey.hub.join(&journey.members, &name)?;
    }
    invoke::read(&mut journey.hub_kubectl("create namespace crash")).map(|_| ())
}

/// Each round creates the next slice of the objects and kills the hub after a number of
/// acknowledgements that differs from round to round, while others are under way.
fn kill_and_restart(journey: &mut Journey) -> Result<()> {
    let slice = OBJECTS / journey.kills.max(1);
    for round in 0..journey.kills {
        let enough = usize::try_from(1 + (round * 7919) % (slice * 4 / 5).max(1))?;
        let mut kubectl = create(journey, round * slice..(round + 1) * slice)?;
        let mut said = BufReader::new(kubectl.stdout.take().context("kubectl's output")?);
        let before = journey.acknowledged.len();
        while journey.acknowledged.len() - before < enough {
            ensure!(record(journey, &mut said)?, "round {round}: kubectl ended before the hub was killed");
        }
        journey.hub.kill()?;
        // What was acknowledged before the kill may still be in the pipe.
        while record(journey, &mut said)? {}
        kubectl.wait()?;
        journey.hub.start(&journey.members).with_context(|| format!("restart in round {round}"))?;
    }
    println!("           {} acknowledged over {} kills", journey.acknowledged.len(), journey.kills);
    Ok(())
}

/// Reads one acknowledgement; false at the end of the output.
fn record(journey: &mut Journey, said: &mut BufReader<ChildStdout>) -> Result<bool> {
    let mut line = String::new();
    if said.read_line(&mut line)? == 0 {
        return Ok(false);
    }
    if let Some(name) = line.strip_prefix("configmap/").and_then(|rest| rest.split_whitespace().next()) {
        journey.acknowledged.push(name.to_owned());
    }
    Ok(true)
}

fn create(journey: &Journey, numbers: std::ops::Range<u32>) -> Result<Child> {
    let manifest = journey.hub.dir().join("slice.yaml");
    fs::write(&manifest, config_maps(numbers))?;
    let line = format!("apply --validate=false -f {}", manifest.display());
    let mut kubectl = journey.hub_kubectl(&line);
    kubectl.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().context("start kubectl")
}

fn config_maps(numbers: std::ops::Range<u32>) -> String {
    let mut text = String::new();
    for number in numbers {
        write!(
            text,
            "---\n{{apiVersion: v1, kind: ConfigMap, data: {{number: '{number}'}}, metadata: \
             {{name: c-{number}, namespace: crash, annotations: {{fedgate.dev/clusters: '*'}}}}}}\n"
        )
        .expect("a String takes everything");
    }
    text
}

fn apply_rest(journey: &mut Journey) -> Result<()> {
    let mut kubectl = create(journey, 0..OBJECTS)?;
    let mut said = BufReader::new(kubectl.stdout.take().context("kubectl's output")?);
    while record(journey, &mut said)? {}
    let status = kubectl.wait()?;
    ensure!(status.success(), "kubectl apply: {status}");
    Ok(())
}

fn acknowledged_are_there(journey: &mut Journey) -> Result<()> {
    let found = names_of(&journey.hub_get("configmaps -n crash")?)?;
    let lost: Vec<&String> = journey.acknowledged.iter().filter(|name| !found.contains(*name)).collect();
    ensure!(lost.is_empty(), "lost: {lost:?}");
    Ok(())
}

fn members_converge(journey: &mut Journey) -> Result<()> {
    let expected: BTreeSet<String> = (0..OBJECTS).map(|number| format!("c-{number}")).collect();
    for name in journey.names() {
        until(&name, CONVERGED_WITHIN, || {
            let found = names_of(&journey.member_get(&name, "configmaps -n crash")?)?;
            let lacking = expected.difference(&found).count();
            ensure!(lacking == 0, "{lacking} objects have not arrived");
            Ok(())
        })?;
    }
    Ok(())
}

fn names_of(list: &Value) -> Result<BTreeSet<String>> {
    let names = items(list)?.iter().filter_map(|item| item["metadata"]["name"].as_str());
    Ok(names.map(str::to_owned).collect())
}
