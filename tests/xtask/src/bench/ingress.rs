//! `bench ingress`: the same requests to the same pods of a real member, through one proxy after the other.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::cpu;
use super::ground::{Ground, Running, program};
use super::peers::{self, Contestant, PEERS};
use super::table::{Table, median};
use super::wrk::{self, HOST, Load};
use crate::e2e::shop::{SOON, items};
use crate::e2e::wait::until;
use crate::invoke;

#[derive(clap::Args)]
pub struct Options {
    /// Open connections
    #[arg(long, default_value_t = 64)]
    connections: u32,
    /// Seconds a round
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Rounds, in which every proxy has its turn; the table shows medians
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Size of the body
    #[arg(long, default_value_t = 128)]
    bytes: usize,
    /// Measure the peers only
    #[arg(long)]
    peers_only: bool,
}

const MEMBER: &str = "east";
/// The port on which every pod of the member answers with the same bytes.
const ORIGIN_PORT: u16 = 8081;
const WARM_UP: Duration = Duration::from_secs(1);

/// What one proxy did, a figure a round.
#[derive(Default)]
struct Score {
    per_second: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
    cpu_micros: Vec<f64>,
}

pub fn run(options: &Options, no_build: bool) -> Result<()> {
    let mut ground = Ground::prepare("ingress", 1, no_build)?;
    let _origin = start_origin(&ground, options.bytes)?;
    let backends = pods(&ground)?;
    let mut entries: Vec<(&str, Result<Entry>)> = Vec::new();
    entries.push(("bare forwarder", peers::forwarder(&ground, &backends).map(Entry::Peer)));
    if !options.peers_only {
        entries.push(("fedgate", fedgate(&mut ground)));
    }
    for peer in PEERS {
        entries.push((peer.name, peer.start(&ground, &backends).map(Entry::Peer)));
    }
    let mut scores: Vec<(&str, Result<Score>)> = Vec::new();
    for (name, entry) in &mut entries {
        let ready = match entry {
            Ok(entry) => entry.answers(&ground).map(|()| Score::default()),
            Err(error) => Err(anyhow::anyhow!("{error:#}")),
        };
        scores.push((name, ready));
    }
    for _ in 0..options.rounds {
        for ((_, entry), (_, score)) in entries.iter().zip(&mut scores) {
            let Ok(entry) = entry else { continue };
            if let Ok(figures) = score
                && let Err(error) = measure(&ground, entry, options, figures)
            {
                *score = Err(error);
            }
        }
    }
    print!("{}", report(&scores, options));
    Ok(())
}

/// A proxy that can be put under load.
enum Entry {
    Peer(Contestant),
    Hub { pid: u32, address: String },
}

impl Entry {
    fn pid(&self) -> u32 {
        match self {
            Self::Peer(contestant) => contestant.running.pid(),
            Self::Hub { pid, .. } => *pid,
        }
    }

    fn address(&self) -> &str {
        match self {
            Self::Peer(contestant) => &contestant.address,
            Self::Hub { address, .. } => address,
        }
    }

    fn answers(&mut self, ground: &Ground) -> Result<()> {
        let url = format!("http://{}/", self.address());
        until("the first answer", SOON, || {
            if let Self::Peer(contestant) = self
                && let Some(status) = contestant.running.ended()?
            {
                bail!("it ended: {status}; its log is below {}", ground.dir.display());
            }
            let mut curl = ground.members.command("curl", ["--silent", "--show-error", "--fail", "--max-time", "2"]);
            invoke::read(curl.args(["--header", &format!("Host: {HOST}")]).arg(&url)).map(|_| ())
        })
    }
}

fn measure(ground: &Ground, entry: &Entry, options: &Options, score: &mut Score) -> Result<()> {
    let warm_up = Load { connections: options.connections, length: WARM_UP };
    wrk::run(&ground.members, entry.address(), &warm_up)?;
    let load = Load { connections: options.connections, length: Duration::from_secs(options.seconds) };
    let before = cpu::used(&[entry.pid()])?;
    let figures = wrk::run(&ground.members, entry.address(), &load)?;
    let used = cpu::used(&[entry.pid()])?.saturating_sub(before);
    ensure!(figures.requests > 0, "no request was answered");
    score.per_second.push(figures.per_second);
    score.p50.push(figures.p50);
    score.p99.push(figures.p99);
    score.cpu_micros.push(used.as_secs_f64() * 1e6 / figures.requests as f64);
    Ok(())
}

fn report(scores: &[(&str, Result<Score>)], options: &Options) -> String {
    let mut table = Table::new(&["proxy", "requests/s", "p50 ms", "p99 ms", "CPU µs/request", "× floor"]);
    let mut floor = None;
    for (name, score) in scores {
        let score = match score {
            Ok(score) => score,
            Err(error) => {
                table.failed(vec![(*name).to_owned()], error);
                continue;
            }
        };
        let figure = |figures: &[f64]| median(figures.to_vec()).unwrap_or(f64::NAN);
        let micros = figure(&score.cpu_micros);
        let floor = *floor.get_or_insert(micros);
        table.row(vec![
            (*name).to_owned(),
            format!("{:.0}", figure(&score.per_second)),
            format!("{:.2}", figure(&score.p50)),
            format!("{:.2}", figure(&score.p99)),
            format!("{micros:.1}"),
            format!("{:.2}", micros / floor),
        ]);
    }
    let Options { connections, seconds, rounds, bytes, .. } = options;
    format!(
        "HTTP/1.1 keep-alive, {connections} connections, {bytes} byte bodies, {rounds} rounds of {seconds} s, medians\n{}",
        table.render()
    )
}

fn start_origin(ground: &Ground, bytes: usize) -> Result<Running> {
    let listen = format!("0.0.0.0:{ORIGIN_PORT}");
    let mut origin =
        ground.members.command_in(MEMBER, &program("origin").to_string_lossy(), [listen, bytes.to_string()]);
    Running::start(peers::logged(&mut origin, &ground.dir.join("origin.log"))?)
}

/// Pods that the peers forward to, made directly in the member.
fn pods(ground: &Ground) -> Result<Vec<String>> {
    let manifest = ground.dir.join("direct.yaml");
    std::fs::write(&manifest, deployment("direct", ""))?;
    let kubectl = |line: &str| invoke::read(&mut ground.members.kubectl(MEMBER, line.split_whitespace()));
    kubectl("create namespace bench-direct")?;
    kubectl(&format!("apply -n bench-direct -f {}", manifest.display()))?;
    kubectl("rollout status -n bench-direct deployment/direct --timeout=60s")?;
    let pods: Value = serde_json::from_str(&kubectl("get pods -n bench-direct -o json")?)?;
    items(&pods)?
        .iter()
        .map(|pod| {
            let address = pod["status"]["podIP"].as_str().context("a Ready pod has an address")?;
            Ok(format!("{address}:{ORIGIN_PORT}"))
        })
        .collect()
}

fn deployment(name: &str, annotations: &str) -> String {
    format!(
        "{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: {name}, annotations: {{{annotations}}}}}, spec: \
         {{replicas: 2, selector: {{matchLabels: {{app: {name}}}}}, template: {{metadata: {{labels: {{app: {name}}}}}, \
         spec: {{containers: [{{name: {name}, image: 'registry.example/{name}:1', \
         ports: [{{name: http, containerPort: {ORIGIN_PORT}}}]}}]}}}}}}}}\n"
    )
}

/// The product's whole way: Deployment, Service and Ingress at the hub.
fn fedgate(ground: &mut Ground) -> Result<Entry> {
    const EVERYWHERE: &str = "fedgate.dev/clusters: '*'";
    ground.start_hub()?;
    let manifest = ground.dir.join("fedgate.yaml");
    let service = format!(
        "---\n{{apiVersion: v1, kind: Service, metadata: {{name: web, annotations: {{{EVERYWHERE}}}}}, spec: \
         {{selector: {{app: web}}, ports: [{{name: http, port: 80, targetPort: http}}]}}}}\n"
    );
    let ingress = format!(
        "---\n{{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {{name: web}}, spec: {{ingressClassName: fedgate, rules: [{{host: {HOST}, \
         http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: web, port: {{name: http}}}}}}}}]}}}}]}}}}\n"
    );
    std::fs::write(&manifest, deployment("web", EVERYWHERE) + &service + &ingress)?;
    let line = format!("apply -f {}", manifest.display());
    invoke::read(&mut ground.hub.kubectl(&ground.members, line.split_whitespace()))?;
    let pid = ground.hub.pid().context("the hub does not run")?;
    Ok(Entry::Hub { pid, address: ground.hub.endpoints()?.ingress })
}
