//! One application on three real clusters, from the first apply to the last delete,
//! through a member's outage and its return.

mod custom;
mod outage;
mod traffic;

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::journey::{Journey, Step};
use super::wait::{same, until};
use crate::invoke;

const MANIFESTS: &str = include_str!("shop.yaml");

/// For what takes milliseconds on an idle machine and must not fail on a busy one.
pub const SOON: Duration = Duration::from_secs(30);

pub const STEPS: &[Step] = &[
    ("the hub starts and says that it is ready", |journey| journey.hub.start(&journey.members)),
    ("kubectl and the hub agree on versions", versions),
    ("fedgate cluster add: three members", add_members),
    ("the same cluster under another name is refused", refuse_twice),
    ("kubectl apply: Deployment, Service, ConfigMap, Ingress", apply),
    ("6 replicas become 2+2+2 Ready", |journey| ready_in_each(journey, 2)),
    ("kubectl rollout status ends", rollout_status),
    ("scale to 9 arrives as 3+3+3", scale),
    ("a new image arrives everywhere", new_image),
    ("pods of all members are seen at the hub", mirrored_pods),
    ("DNS answers with pods of all members", traffic::dns),
    ("the ingress reaches pods of all members", traffic::ingress_reaches_all),
    ("a custom kind: its definition and its object arrive everywhere", custom::arrives),
    ("the hub's account there gets no more than custom kinds", custom::is_guarded),
    ("kubectl delete crd: definition, object and rights leave", custom::leaves),
    ("a definition without objects comes and leaves", custom::leaves_without_objects),
    ("a member's API server stops: its pods keep their traffic, nothing is deleted", outage::stop),
    ("the other members go on", outage::others_go_on),
    ("the API server comes back: the member catches up, nothing restarted", outage::back),
    ("kubectl delete: the Deployment is gone everywhere", delete),
    ("fedgate cluster remove: the member's objects stay and lose our labels", remove_member),
];

fn versions(journey: &mut Journey) -> Result<()> {
    let answer = invoke::read(&mut journey.hub_kubectl("version -o json"))?;
    let versions: Value = serde_json::from_str(&answer)?;
    for side in ["clientVersion", "serverVersion"] {
        let version = versions[side]["gitVersion"].as_str().with_context(|| format!("{side} in {answer}"))?;
        ensure!(version.starts_with("v1.37."), "{side} is {version}");
    }
    Ok(())
}

fn add_members(journey: &mut Journey) -> Result<()> {
    for name in journey.names() {
        journey.hub.join(&journey.members, &name)?;
        // Idempotent: the same again is no error.
        journey.hub.join(&journey.members, &name)?;
    }
    let mut wait = journey.hub_kubectl("wait --for=condition=Ready clusters.fedgate.dev --all --timeout=60s");
    invoke::read(&mut wait).map(|_| ())
}

fn refuse_twice(journey: &mut Journey) -> Result<()> {
    let kubeconfig = journey.members.kubeconfig("east").display();
    let line = format!("cluster add east2 --kubeconfig {kubeconfig} --context east --yes");
    let outcome = invoke::attempt(&mut journey.fedgate(&line))?;
    ensure!(!outcome.status.success(), "it was accepted: {}", invoke::transcript(&outcome));
    let said = invoke::transcript(&outcome);
    // The one that it already is, not the name that was asked for.
    ensure!(said.replace("east2", "").contains("east"), "it does not name the cluster that it is: {said}");
    Ok(())
}

fn apply(journey: &mut Journey) -> Result<()> {
    invoke::read(&mut journey.hub_kubectl("create namespace shop"))?;
    feed(journey, "apply -f -", MANIFESTS)
}

/// Runs kubectl at the hub with a manifest on standard input.
pub fn feed(journey: &Journey, line: &str, manifest: &str) -> Result<()> {
    let mut kubectl = journey.hub_kubectl(line);
    let output = fed(&mut kubectl, manifest)?;
    ensure!(output.status.success(), "{}: {}", invoke::line(&kubectl), invoke::transcript(&output));
    Ok(())
}

/// Runs a kubectl with a manifest on standard input, whatever comes of it.
fn fed(kubectl: &mut Command, manifest: &str) -> Result<Output> {
    let mut running = kubectl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    running.stdin.take().context("kubectl's standard input")?.write_all(manifest.as_bytes())?;
    Ok(running.wait_with_output()?)
}

/// Every member's own Deployment wants and has that many Ready replicas.
fn ready_in_each(journey: &mut Journey, replicas: i64) -> Result<()> {
    for name in journey.names() {
        until(&name, SOON, || {
            let deployment = journey.member_get(&name, "deployment web -n shop")?;
            same("spec.replicas", deployment["spec"]["replicas"].as_i64(), Some(replicas))?;
            same("status.readyReplicas", deployment["status"]["readyReplicas"].as_i64(), Some(replicas))
        })?;
    }
    Ok(())
}

fn rollout_status(journey: &mut Journey) -> Result<()> {
    let said = invoke::read(&mut journey.hub_kubectl("rollout status deployment/web -n shop --timeout=60s"))?;
    ensure!(said.contains("successfully rolled out"), "{said}");
    let deployment = journey.hub_get("deployment web -n shop")?;
    same(
        "status.readyReplicas",
        deployment["status"]["readyReplicas"].as_i64(),
        deployment["spec"]["replicas"].as_i64(),
    )
}

fn scale(journey: &mut Journey) -> Result<()> {
    invoke::read(&mut journey.hub_kubectl("scale deployment/web -n shop --replicas=9"))?;
    ready_in_each(journey, 3)?;
    rollout_status(journey)
}

fn new_image(journey: &mut Journey) -> Result<()> {
    let image = "registry.example/web:2";
    invoke::read(&mut journey.hub_kubectl(&format!("set image deployment/web -n shop web={image}")))?;
    rollout_status(journey)?;
    for name in journey.names() {
        let pods = journey.member_get(&name, "pods -n shop -l app=web")?;
        for pod in items(&pods)?.iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null()) {
            same(&name, pod["spec"]["containers"][0]["image"].as_str(), Some(image))?;
        }
    }
    Ok(())
}

fn mirrored_pods(journey: &mut Journey) -> Result<()> {
    let names = journey.names();
    until("pods at the hub", SOON, || {
        let pods = journey.hub_get("pods -n shop -l app=web")?;
        let pods = items(&pods)?;
        same("pods", pods.len(), 9)?;
        for name in &names {
            let suffix = format!(".{name}");
            let theirs = pods.iter().filter_map(|pod| pod["metadata"]["name"].as_str());
            same(name, theirs.filter(|pod| pod.ends_with(&suffix)).count(), 3)?;
        }
        Ok(())
    })
}

fn delete(journey: &mut Journey) -> Result<()> {
    invoke::read(&mut journey.hub_kubectl("delete deployment/web -n shop --timeout=60s"))?;
    for name in journey.names() {
        until(&name, SOON, || gone(journey, &name, "deployment web -n shop"))?;
        until(&name, SOON, || {
            let pods = journey.member_get(&name, "pods -n shop -l app=web")?;
            same("pods", items(&pods)?.len(), 0)
        })?;
    }
    Ok(())
}

/// # Errors
/// The member still has the object, or cannot say.
pub fn gone(journey: &Journey, name: &str, what: &str) -> Result<()> {
    let output = invoke::attempt(&mut journey.member_kubectl(name, &format!("get {what}")))?;
    let said = invoke::transcript(&output);
    if output.status.success() || !said.contains("NotFound") {
        bail!("{what}: {said}");
    }
    Ok(())
}

fn remove_member(journey: &mut Journey) -> Result<()> {
    invoke::read(&mut journey.fedgate("cluster remove west --yes"))?;
    for what in ["configmap settings -n shop", "service web -n shop"] {
        let object = until(what, SOON, || {
            let object = journey.member_get("west", what)?;
            ensure!(our_labels(&object).is_empty(), "{what} still bears {:?}", our_labels(&object));
            Ok(object)
        })?;
        ensure!(object["metadata"]["deletionTimestamp"].is_null(), "{what} is being deleted");
    }
    Ok(())
}

fn our_labels(object: &Value) -> Vec<&String> {
    let labels = object["metadata"]["labels"].as_object();
    labels.map_or_else(Vec::new, |labels| labels.keys().filter(|key| key.contains("fedgate.dev/")).collect())
}

/// # Errors
/// The answer is no list.
pub fn items(list: &Value) -> Result<&Vec<Value>> {
    list["items"].as_array().context("kubectl's answer is no list")
}
