//! What users of the application see: names resolve, requests are answered.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::super::journey::Journey;
use super::super::wait::{same, until};
use super::SOON;
use crate::invoke;

/// Enough that an even spread over nine pods leaves no member out by chance.
const ROUNDS: usize = 60;

/// The names of the members whose pods answered, after `count` requests that all succeeded.
///
/// # Errors
/// A request was not answered by a pod.
pub fn answering(journey: &Journey, count: usize) -> Result<BTreeSet<String>> {
    let address = journey.hub.endpoints()?.ingress;
    let mut answered = BTreeSet::new();
    for _ in 0..count {
        let url = format!("http://{address}/cart?id=7");
        let mut curl = journey.members.command("curl", ["--silent", "--show-error", "--fail", "--max-time", "3"]);
        let body = invoke::read(curl.args(["--header", "Host: web.shop.example"]).arg(url))?;
        let body: Value = serde_json::from_str(&body).with_context(|| format!("a pod's answer, not {body:?}"))?;
        same("path", body["path"].as_str(), Some("/cart?id=7"))?;
        answered.insert(body["cluster"].as_str().context("a pod names its cluster")?.to_owned());
    }
    Ok(answered)
}

pub fn ingress_reaches_all(journey: &mut Journey) -> Result<()> {
    until("the first answer", SOON, || answering(journey, 1))?;
    let names: BTreeSet<String> = journey.names().into_iter().collect();
    until("answers from every member", SOON, || same("members", answering(journey, ROUNDS)?, names.clone()))
}

pub fn dns(journey: &mut Journey) -> Result<()> {
    let address = journey.hub.endpoints()?.dns;
    let (ip, port) = address.rsplit_once(':').with_context(|| format!("{address} has no port"))?;
    until("DNS", SOON, || {
        let server = format!("@{ip}");
        let mut dig = journey.members.command("dig", ["+short", "+time=2", "+tries=1", &server, "-p", port]);
        let answer = invoke::read(dig.arg("web.shop.svc.clusterset.local"))?;
        for network in ["10.101.", "10.102.", "10.103."] {
            ensure!(answer.lines().any(|line| line.starts_with(network)), "no {network}* in {answer:?}");
        }
        Ok(())
    })
}
