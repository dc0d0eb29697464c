//! The ground under the other journeys, without the product: members run workloads, their pods
//! answer, faults can be made and mended, and nothing is left behind.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::journey::{Journey, Step};
use super::members::Setup;
use super::shop::{SOON, items};
use super::wait::{same, until};
use crate::e2e::members::Members;
use crate::suite::chart::value_sets;
use crate::{invoke, paths};

const WORKLOAD: &str = "create deployment web --image=registry.example/web:1 --replicas=4 --port=80";

/// A curl that finds nobody gives up after this many seconds.
const CURL: [&str; 5] = ["--silent", "--show-error", "--fail", "--max-time", "2"];

pub const STEPS: &[Step] = &[
    ("a Deployment becomes Ready in each member", workloads),
    ("every pod's address answers", pods_answer),
    ("logs and exec reach a pod", logs_and_exec),
    ("the chart would install with every set of values", chart),
    ("a stopped API server hangs, its pods answer, and it comes back", stopped),
    ("a killed API server refuses, and a new one has the old objects", killed),
    ("a cut link loses packets, and heals", cut),
    ("a rig that is killed leaves no process behind", nothing_left),
];

fn workloads(journey: &mut Journey) -> Result<()> {
    for name in journey.names() {
        invoke::read(&mut journey.member_kubectl(&name, WORKLOAD))?;
        invoke::read(&mut journey.member_kubectl(&name, "rollout status deployment/web --timeout=60s"))?;
    }
    Ok(())
}

fn chart(journey: &mut Journey) -> Result<()> {
    let name = journey.names().into_iter().next().context("a member")?;
    for values in value_sets()? {
        let mut helm = journey.members.command("helm", ["--kubeconfig"]);
        helm.arg(journey.members.kubeconfig(&name)).args(["install", "fedgate", "--dry-run=server"]);
        helm.args(["--namespace", "fedgate", "--create-namespace", "--values"]).arg(&values);
        invoke::read(helm.arg(paths::repository().join("charts/fedgate")))?;
    }
    Ok(())
}

fn pods_answer(journey: &mut Journey) -> Result<()> {
    let mut addresses = BTreeSet::new();
    for name in journey.names() {
        for address in pod_addresses(journey, &name)? {
            let answer = ask(journey, &address)?;
            same("cluster", answer["cluster"].as_str(), Some(&*name))?;
            same("pod_ip", answer["pod_ip"].as_str(), Some(&*address))?;
            addresses.insert(address);
        }
    }
    same("addresses", addresses.len(), 4 * journey.names().len())
}

fn pod_addresses(journey: &Journey, name: &str) -> Result<Vec<String>> {
    let pods = journey.member_get(name, "pods -l app=web")?;
    let address = |pod: &Value| pod["status"]["podIP"].as_str().map(str::to_owned);
    items(&pods)?.iter().map(|pod| address(pod).context("a Ready pod has an address")).collect()
}

fn ask(journey: &Journey, address: &str) -> Result<Value> {
    let answer = invoke::read(journey.members.command("curl", CURL).arg(format!("http://{address}/")))?;
    serde_json::from_str(&answer).with_context(|| format!("the pod said {answer}"))
}

fn logs_and_exec(journey: &mut Journey) -> Result<()> {
    let logs = invoke::read(&mut journey.member_kubectl("east", "logs deployment/web"))?;
    ensure!(logs.contains("hello from east"), "logs: {logs}");
    let said = invoke::read(&mut journey.member_kubectl("east", "exec deployment/web -- echo executed"))?;
    same("exec", said.trim(), "executed")
}

fn stopped(journey: &mut Journey) -> Result<()> {
    let address = pod_addresses(journey, "east")?.remove(0);
    journey.members.fault("east", "stop-api")?;
    let hanging = invoke::attempt(&mut journey.member_kubectl("east", "get pods --request-timeout=1s"))?;
    let answer = ask(journey, &address);
    journey.members.fault("east", "cont-api")?;
    ensure!(!hanging.status.success(), "it answered: {}", invoke::transcript(&hanging));
    answer?;
    until("the API server", SOON, || journey.member_get("east", "pods")).map(|_| ())
}

fn killed(journey: &mut Journey) -> Result<()> {
    journey.members.fault("west", "kill-api")?;
    let refused = invoke::attempt(&mut journey.member_kubectl("west", "get pods"))?;
    ensure!(invoke::transcript(&refused).contains("refused"), "{}", invoke::transcript(&refused));
    journey.members.fault("west", "start-api")?;
    same("pods", pod_addresses(journey, "west")?.len(), 4)
}

fn cut(journey: &mut Journey) -> Result<()> {
    let address = pod_addresses(journey, "north")?.remove(0);
    journey.members.fault("north", "link-down")?;
    let lost = ask(journey, &address);
    journey.members.fault("north", "link-up")?;
    ensure!(lost.is_err(), "it answered over a cut link: {lost:?}");
    until("the healed link", SOON, || ask(journey, &address)).map(|_| ())
}

/// The kernel ends a member's processes with their supervisor; its namespaces go with them.
fn nothing_left(journey: &mut Journey) -> Result<()> {
    const GONE_WITHIN: Duration = Duration::from_secs(10);
    let dir = journey.members.dir().with_file_name("doomed");
    let setup =
        Setup { programs: journey.members.programs(), dir, members: 1, fsync: false, path: journey.members.path() };
    let mut doomed = Members::start(setup)?;
    let pids = doomed.pids();
    doomed.kill()?;
    until("all processes gone", GONE_WITHIN, || {
        let alive: Vec<&u32> = pids.iter().filter(|pid| runs(**pid)).collect();
        ensure!(alive.is_empty(), "still running: {alive:?}");
        Ok(())
    })
}

/// A zombie that waits for its new parent runs no more.
fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}
