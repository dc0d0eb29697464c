//! A member's API server stops answering, and comes back.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::super::endurance::{Lost, Pace};
use super::super::journey::Journey;
use super::super::wait::{same, until};
use super::traffic::answering;
use super::{SOON, feed, items};
use crate::bench::program;
use crate::invoke;

const OUT: &str = "east";

const NOTICE: &str = "{apiVersion: v1, kind: ConfigMap, metadata: {name: notice, namespace: shop, \
                      annotations: {fedgate.dev/clusters: '*'}}, data: {during: outage}}";

/// A member counts as unreachable after the health loop has missed it a few times.
const NOTICED_WITHIN: Duration = Duration::from_secs(60);

/// The member's pods answer on: only its API server is stopped. Nobody who asks notices.
pub fn stop(journey: &mut Journey) -> Result<()> {
    let address = journey.hub.endpoints()?.ingress;
    let paced = program("paced");
    let mut paced = journey.members.command(&paced.to_string_lossy(), [&address, "web.shop.example", "--echo"]);
    let pace = Pace::start(&mut paced, &journey.hub.dir().join("paced.log"))?;
    journey.members.fault(OUT, "stop-api")?;
    until("the outage is seen", NOTICED_WITHIN, || {
        let found = journey.hub_get(&format!("clusters.fedgate.dev {OUT}"))?;
        let conditions = found["status"]["conditions"].as_array().context("status.conditions")?;
        let ready = conditions.iter().find(|condition| condition["type"] == "Ready").context("condition Ready")?;
        ensure!(ready["status"] != "True", "{OUT} is Ready");
        Ok(())
    })?;
    pace.end()?.told("the outage").lost_at_most(Lost::Nothing)?;
    let answered = answering(journey, 60)?;
    ensure!(answered.contains(OUT), "the pods of {OUT} lost their traffic: {answered:?}");
    let pods = journey.hub_get("pods -n shop -l app=web")?;
    same("pods at the hub", items(&pods)?.len(), 9)
}

pub fn others_go_on(journey: &mut Journey) -> Result<()> {
    feed(journey, "apply -f -", NOTICE)?;
    for name in ["west", "north"] {
        until(name, SOON, || journey.member_get(name, "configmap notice -n shop"))?;
    }
    Ok(())
}

pub fn back(journey: &mut Journey) -> Result<()> {
    let hub = journey.hub.pid();
    journey.members.fault(OUT, "cont-api")?;
    until("the missed object arrives", NOTICED_WITHIN, || journey.member_get(OUT, "configmap notice -n shop"))?;
    let line = format!("wait --for=condition=Ready clusters.fedgate.dev/{OUT} --timeout=60s");
    invoke::read(&mut journey.hub_kubectl(&line))?;
    same("the hub's process", journey.hub.pid(), hub)?;
    let pods = journey.member_get(OUT, "pods -n shop -l app=web")?;
    same("pods", items(&pods)?.len(), 3)
}
