//! `bench api`: GET, LIST, create and WATCH against kube-apiserver with etcd, and against fedgate:
//! the same load program, client certificates, HTTP/2, stores that sync to the same disk.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::cpu;
use super::ground::{Ground, program};
use super::load::{Load, Report};
use super::table::Table;

#[derive(clap::Args)]
pub struct Options {
    /// Objects in the list, 2 kB each
    #[arg(long, default_value_t = 10_000)]
    objects: usize,
    /// Watchers of one object
    #[arg(long, default_value_t = 1_000)]
    watchers: usize,
    /// Changes that every watcher sees
    #[arg(long, default_value_t = 50)]
    changes: usize,
    /// Seconds of each other measurement
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Measure kube-apiserver only
    #[arg(long)]
    peers_only: bool,
}

const MEMBER: &str = "east";

/// A server under load: the processes whose CPU counts, and the way in.
struct Server {
    name: &'static str,
    pids: Vec<u32>,
    kubeconfig: PathBuf,
}

struct Figures {
    report: Report,
    /// Server CPU for each thing done, less what the server uses when nobody asks.
    cpu_micros: f64,
    resident: u64,
}

struct Measurement {
    name: &'static str,
    /// Connections of the load program, and its verb with arguments.
    connections: usize,
    verb: Vec<String>,
}

pub fn run(options: &Options, no_build: bool) -> Result<()> {
    let mut ground = Ground::prepare("api", 1, no_build)?;
    let mut servers = vec![Ok(kubernetes(&ground))];
    if !options.peers_only {
        servers.push(fedgate(&mut ground));
    }
    let mut table =
        Table::new(&["what", "server", "per second", "p50 ms", "p99 ms", "CPU µs each", "ratio", "memory MB"]);
    for measurement in measurements(options) {
        let mut first = None;
        for server in &servers {
            let figures = match server {
                Ok(server) => {
                    measure(&ground, server, &measurement, options.seconds).map(|figures| (server.name, figures))
                }
                Err(error) => Err(anyhow::anyhow!("{error:#}")),
            };
            match figures {
                Ok((name, figures)) => {
                    let first = *first.get_or_insert(figures.cpu_micros);
                    table.row(cells(measurement.name, name, &figures, first));
                }
                Err(error) => table.failed(vec![measurement.name.to_owned()], &error),
            }
        }
    }
    let Options { objects, watchers, .. } = options;
    println!("TLS with client certificates, HTTP/2, objects of 2 kB; {objects} in the list, {watchers} watchers");
    print!("{}", table.render());
    Ok(())
}

fn measurements(options: &Options) -> Vec<Measurement> {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let (objects, watchers, changes) =
        (options.objects.to_string(), options.watchers.to_string(), options.changes.to_string());
    vec![
        Measurement { name: "create, empty store", connections: 16, verb: words(&["seed", &objects]) },
        Measurement { name: "GET", connections: 16, verb: words(&["get"]) },
        Measurement { name: "LIST", connections: 2, verb: words(&["list"]) },
        Measurement { name: "create", connections: 16, verb: words(&["create"]) },
        Measurement { name: "WATCH event", connections: 1, verb: words(&["watch", &watchers, &changes]) },
    ]
}

fn measure(ground: &Ground, server: &Server, measurement: &Measurement, seconds: u64) -> Result<Figures> {
    let mut apiload = ground.members.command(&program("apiload").to_string_lossy(), ["--kubeconfig"]);
    apiload.arg(&server.kubeconfig).args(["--connections", &measurement.connections.to_string()]);
    apiload.args(["--seconds", &seconds.to_string()]).args(&measurement.verb);
    let mut load = Load::connect(&mut apiload, &ground.dir.join("apiload.log"))?;
    let idle = idle_share(&server.pids)?;
    let before = cpu::used(&server.pids)?;
    let report = load.run()?;
    let used = cpu::used(&server.pids)?.saturating_sub(before).as_secs_f64();
    ensure!(report.done > 0, "nothing was done");
    let own = (used - idle * report.seconds).max(0.0);
    Ok(Figures { cpu_micros: own * 1e6 / report.done as f64, resident: cpu::resident(&server.pids)?, report })
}

/// The share of a core that a server uses when nobody asks: controllers, leases, timers.
fn idle_share(pids: &[u32]) -> Result<f64> {
    const LOOK: Duration = Duration::from_secs(2);
    let before = cpu::used(pids)?;
    thread::sleep(LOOK);
    Ok(cpu::used(pids)?.saturating_sub(before).as_secs_f64() / LOOK.as_secs_f64())
}

fn cells(what: &str, name: &str, figures: &Figures, first: f64) -> Vec<String> {
    let Figures { report, cpu_micros, resident } = figures;
    vec![
        what.to_owned(),
        name.to_owned(),
        format!("{:.0}", report.done as f64 / report.seconds),
        format!("{:.2}", report.p50_ms),
        format!("{:.2}", report.p99_ms),
        format!("{cpu_micros:.1}"),
        format!("{:.1} ×", first / cpu_micros),
        format!("{:.0}", *resident as f64 / 1e6),
    ]
}

fn kubernetes(ground: &Ground) -> Server {
    Server {
        name: "kube-apiserver + etcd",
        pids: ["kube-apiserver", "etcd"].map(|part| ground.members.pid(MEMBER, part)).to_vec(),
        kubeconfig: ground.members.kubeconfig(MEMBER).to_path_buf(),
    }
}

/// The hub alone: no member is joined, so nothing is placed.
fn fedgate(ground: &mut Ground) -> Result<Server> {
    ground.hub.start(&ground.members)?;
    let pid = ground.hub.pid().context("the hub does not run")?;
    Ok(Server { name: "fedgate", pids: vec![pid], kubeconfig: ground.hub.kubeconfig() })
}
